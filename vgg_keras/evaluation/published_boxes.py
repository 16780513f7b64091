"""Lists the localization errors that the paper publishes (arXiv:1409.1556, app. A, Tables 8 to 10)."""

import dataclasses
from collections.abc import Sequence

from vgg_keras.evaluation.published import ScaleLadder
from vgg_keras.inference.protocol import CENTER_CROP, DENSE, TrainedNet
from vgg_keras.models.architectures import PCR, SCR


@dataclasses.dataclass(frozen=True)
class LocalizerAtScales:
    """A localizer and the scales at which it is tested.

    Attributes:
        trained: net, training scale S, and up to which layer it was frozen.
        kind: SCR or PCR.
        test_scales: test scales Q in pixels, the smallest first.
    """

    trained: TrainedNet
    kind: str
    test_scales: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class BoxKey:
    """What a row of the tables is of: localizers and a way of testing them.

    Attributes:
        localizers: the localizers, in an order that does not depend on the one in which they were fused.
        method: CENTER_CROP: the true class, one crop; DENSE: five classes, the whole image.
    """

    localizers: tuple[LocalizerAtScales, ...]
    method: str


def _key(method: str, *localizers: LocalizerAtScales) -> BoxKey:
    return BoxKey(tuple(sorted(localizers, key=dataclasses.astuple)), method)


@dataclasses.dataclass(frozen=True)
class PublishedBoxes:
    """A row of one of the tables: localization errors on ILSVRC-2012 in percent.

    Attributes:
        table: number of the table.
        key: what was tested, and how; None for the results of others.
        error: error on the validation set; None where the paper gives none.
        test_error: error on the test set; None where the paper gives none.
        others: name of a result of others.
    """

    table: int
    key: BoxKey | None
    error: float | None
    test_error: float | None = None
    others: str = ""


_SMALL, _LARGE = TrainedNet("D", "256"), TrainedNet("D", "384")
# Only the FC layers were tuned.
_LARGE_FC = dataclasses.replace(_LARGE, frozen_up_to="block5_pool")
_PAIR = (352, 384)
_FUSION = _key(DENSE, LocalizerAtScales(_SMALL, PCR, (256,)), LocalizerAtScales(_LARGE, PCR, _PAIR))

PUBLISHED_BOXES: tuple[PublishedBoxes, ...] = (
    PublishedBoxes(8, _key(CENTER_CROP, LocalizerAtScales(_LARGE_FC, SCR, (384,))), 36.4),
    PublishedBoxes(8, _key(CENTER_CROP, LocalizerAtScales(_LARGE_FC, PCR, (384,))), 34.3),
    PublishedBoxes(8, _key(CENTER_CROP, LocalizerAtScales(_LARGE, PCR, (384,))), 33.1),
    PublishedBoxes(9, _key(DENSE, LocalizerAtScales(_SMALL, PCR, (256,))), 29.5),
    PublishedBoxes(9, _key(DENSE, LocalizerAtScales(_LARGE, PCR, (384,))), 28.2, 26.7),
    PublishedBoxes(9, _key(DENSE, LocalizerAtScales(_LARGE, PCR, _PAIR)), 27.5),
    PublishedBoxes(9, _FUSION, 26.9, 25.3),
    PublishedBoxes(10, _FUSION, 26.9, 25.3),
    PublishedBoxes(10, None, None, 26.7, "GoogLeNet"),
    PublishedBoxes(10, None, 30.0, 29.9, "OverFeat"),
    PublishedBoxes(10, None, None, 34.2, "Krizhevsky et al."),
)


def box_key(
    ladder: ScaleLadder,
    nets: Sequence[TrainedNet],
    kinds: Sequence[str],
    test_scales: Sequence[Sequence[int]],
    method: str,
    *,
    flip: bool = False,
) -> BoxKey | None:
    """Returns what a result is of in the paper's terms, or None if it is nothing that the paper could have tested.

    Args:
        ladder: the paper's training scales whose part those of the nets play.
        nets: net and training scale of each localizer, in any order.
        kinds: SCR or PCR of each localizer.
        test_scales: test scales Q of each localizer in pixels, in any order.
        method: CENTER_CROP or DENSE.
        flip: whether the boxes of mirror images were averaged in, of which the paper says nothing.
    """
    if flip:
        return None
    found = []
    for trained, kind, sides in zip(nets, kinds, test_scales, strict=True):
        role = ladder.roles.get(trained.train_scale, "")
        papers = _papers_scales(trained.train_scale, role, sides, exact=ladder.exact)
        if not papers:
            return None
        found.append(LocalizerAtScales(dataclasses.replace(trained, train_scale=role), kind, papers))
    return _key(method, *found)


def _papers_scales(train_scale: str, role: str, sides: Sequence[int], *, exact: bool) -> tuple[int, ...]:
    """Returns the paper's test scales whose part those of a localizer play, or () if they are none of its."""
    if not role or "," in train_scale:  # the paper trains no localizer with jittered scales
        return ()
    if exact:
        return tuple(sorted(sides))
    if int(train_scale) not in sides:
        return ()
    return (int(role),) if len(sides) == 1 else _PAIR if role == _LARGE.train_scale else ()


def find_published_boxes(key: BoxKey | None) -> PublishedBoxes | None:
    """Returns the first of the paper's rows for what was tested, or None if the paper has none."""
    return next((row for row in PUBLISHED_BOXES if key and row.key == key), None)
