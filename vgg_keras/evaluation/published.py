"""Lists the errors that the paper publishes (arXiv:1409.1556, Tables 3 to 7)."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from vgg_keras.inference.protocol import (
    BOTH,
    CENTER_CROP,
    DENSE,
    MULTI,
    MULTI_CROP,
    SCORES,
    SINGLE,
    TrainedNet,
    test_scales,
)
from vgg_keras.models.preparation import SQUASH


@dataclasses.dataclass(frozen=True)
class RowKey:
    """What a row of the paper's tables is of: nets and a way of testing them.

    Attributes:
        nets: the nets at the paper's training scales, as `sort_nets` orders them.
        method: one of `protocol.METHODS`.
        scales: SINGLE or MULTI: one test scale or several.
    """

    nets: tuple[TrainedNet, ...]
    method: str
    scales: str


def sort_nets(nets: Iterable[TrainedNet]) -> tuple[TrainedNet, ...]:
    """Returns nets in an order that does not depend on the one in which they were fused."""
    return tuple(sorted(nets, key=dataclasses.astuple))


@dataclasses.dataclass(frozen=True)
class PublishedResult:
    """A row of one of the paper's tables: errors on ILSVRC-2012 in percent.

    Attributes:
        table: number of the table.
        nets: one net, or several whose posteriors are averaged.
        method: one of `protocol.METHODS`.
        scales: SINGLE or MULTI: one test scale or three.
        top1: top-1 error on the validation set.
        top5: top-5 error on the validation set.
        test_top5: top-5 error on the test set, which sect. 4.2 and Tables 6 and 7 give; None where the paper does not.
    """

    table: int
    nets: tuple[TrainedNet, ...]
    method: str
    scales: str
    top1: float
    top5: float
    test_top5: float | None = None

    @property
    def key(self) -> "RowKey":
        """What was tested, and how."""
        return RowKey(sort_nets(self.nets), self.method, self.scales)

    def test_scales(self) -> tuple[tuple[int, ...], ...]:
        """Returns the test scales Q of each net in pixels."""
        return tuple(test_scales(trained.scale_range(), self.scales) for trained in self.nets)


_JITTERED = "256,512"
# Top-1 and top-5 errors on the validation set, and where the paper gives it the top-5 error on the test set.
_TABLE_3: dict[tuple[str, str], tuple[float, ...]] = {
    ("A", "256"): (29.6, 10.4),
    ("A-LRN", "256"): (29.7, 10.5),
    ("B", "256"): (28.7, 9.9),
    ("C", "256"): (28.1, 9.4),
    ("C", "384"): (28.1, 9.3),
    ("C", _JITTERED): (27.3, 8.8),
    ("D", "256"): (27.0, 8.8),
    ("D", "384"): (26.8, 8.7),
    ("D", _JITTERED): (25.6, 8.1),
    ("E", "256"): (27.3, 9.0),
    ("E", "384"): (26.9, 8.7),
    ("E", _JITTERED): (25.5, 8.0),
}
_TABLE_4: dict[tuple[str, str], tuple[float, ...]] = {
    ("B", "256"): (28.2, 9.6),
    ("C", "256"): (27.7, 9.2),
    ("C", "384"): (27.8, 9.2),
    ("C", _JITTERED): (26.3, 8.2),
    ("D", "256"): (26.6, 8.6),
    ("D", "384"): (26.5, 8.6),
    ("D", _JITTERED): (24.8, 7.5),
    ("E", "256"): (26.9, 8.7),
    ("E", "384"): (26.7, 8.6),
    ("E", _JITTERED): (24.8, 7.5, 7.3),  # sect. 4.2
}
_TABLE_5: dict[tuple[str, str], tuple[float, ...]] = {
    ("D", DENSE): (24.8, 7.5),
    ("D", MULTI_CROP): (24.6, 7.5),
    ("D", BOTH): (24.4, 7.2),
    ("E", DENSE): (24.8, 7.5),
    ("E", MULTI_CROP): (24.6, 7.4),
    ("E", BOTH): (24.4, 7.1, 7.0),  # Table 7, one net: its errors on the validation set are those of E
}
_JITTERED_D, _JITTERED_E = TrainedNet("D", _JITTERED), TrainedNet("E", _JITTERED)
# The seven nets that were submitted to the challenge, when of the jittered D only the FC layers had been fine-tuned
# (sect. 4.4).
_SUBMITTED = (
    TrainedNet("D", "256"),
    TrainedNet("D", "384"),
    TrainedNet("D", _JITTERED, frozen_up_to="block5_pool"),
    TrainedNet("C", "256"),
    TrainedNet("C", "384"),
    TrainedNet("E", "256"),
    TrainedNet("E", "384"),
)

PUBLISHED: tuple[PublishedResult, ...] = (
    *(PublishedResult(3, (TrainedNet(*key),), DENSE, SINGLE, *errors) for key, errors in _TABLE_3.items()),
    *(PublishedResult(4, (TrainedNet(*key),), DENSE, MULTI, *errors) for key, errors in _TABLE_4.items()),
    *(
        PublishedResult(5, (TrainedNet(net, _JITTERED),), method, MULTI, *errors)
        for (net, method), errors in _TABLE_5.items()
    ),
    PublishedResult(6, _SUBMITTED, DENSE, MULTI, 24.7, 7.5, 7.3),
    PublishedResult(6, (_JITTERED_D, _JITTERED_E), DENSE, MULTI, 24.0, 7.1, 7.0),
    PublishedResult(6, (_JITTERED_D, _JITTERED_E), MULTI_CROP, MULTI, 23.9, 7.2),
    PublishedResult(6, (_JITTERED_D, _JITTERED_E), BOTH, MULTI, 23.7, 6.8, 6.8),
)


@dataclasses.dataclass(frozen=True)
class ScaleLadder:
    """The training scales of some nets, and the paper's scales whose part they play.

    Attributes:
        roles: the paper's training scale for each scale of the nets.
        exact: whether they are the paper's own, so that test scales have to be the paper's own too.
    """

    roles: Mapping[str, str]
    exact: bool

    @classmethod
    def of(cls, train_scales: Iterable[str]) -> "ScaleLadder":
        """Returns the ladder of nets that were trained on the same images.

        If none of their scales is one of the paper's, the smallest fixed scale plays the part of S = 256, the next one
        that of S = 384, and the widest range that of S in [256, 512]: in a miniature S = 32, 40 and [32, 48].

        Args:
            train_scales: training scales as `TrainedNet` holds them.
        """
        known = set(train_scales) - {""}
        if known & set(PAPER_LADDER.roles) or not known:
            return PAPER_LADDER
        fixed = sorted((scale for scale in known if "," not in scale), key=int)
        ranges = sorted(known - set(fixed), key=lambda scale: -int(scale.split(",")[1]) / int(scale.split(",")[0]))
        return cls({**dict(zip(fixed, _FIXED, strict=False)), **dict.fromkeys(ranges[:1], _JITTERED)}, exact=False)

    def row_key(self, nets: Sequence[TrainedNet], method: str, scales: Sequence[Sequence[int]]) -> RowKey | None:
        """Returns what a result is of in the paper's terms, or None if it is nothing that the paper could have tested.

        Args:
            nets: the nets, in any order.
            method: one of `protocol.METHODS`.
            scales: test scales Q of each net in pixels, in any order.
        """
        kinds = {self._kind(trained, sides) for trained, sides in zip(nets, scales, strict=True)}
        if len(kinds) != 1 or None in kinds:
            return None
        papers = (dataclasses.replace(trained, train_scale=self.roles[trained.train_scale]) for trained in nets)
        return RowKey(sort_nets(papers), method, kinds.pop() or "")

    def _kind(self, trained: TrainedNet, sides: Sequence[int]) -> str | None:
        """Returns SINGLE or MULTI, or None if the test scales are none that the paper would choose."""
        if trained.train_scale not in self.roles:
            return None
        single, multi = (test_scales(trained.scale_range(), kind) for kind in (SINGLE, MULTI))
        if tuple(sides) == single:
            return SINGLE
        is_multi = sorted(sides) == sorted(multi) if self.exact else len(sides) > 1 and single[0] in sides
        return MULTI if is_multi else None


_FIXED = ("256", "384")
PAPER_LADDER = ScaleLadder({scale: scale for scale in (*_FIXED, _JITTERED)}, exact=True)


def protocol_differences(method: str, *, flip: bool, average: str) -> list[str]:
    """Returns in words in what a test differs from the paper's way with the same views (sect. 3.2).

    Args:
        method: one of `protocol.METHODS`.
        flip: whether mirror images were averaged in; the paper does so in Tables 3 to 6.
        average: one of `protocol.AVERAGES`, what was averaged over a class-score map: the paper averages scores.
    """
    has_map = method in (DENSE, BOTH)
    mirrors = method not in (CENTER_CROP, SQUASH)  # of which the paper says nothing
    return ["no mirror"] * (mirrors and not flip) + [f"{average} averaged over the map"] * (
        has_map and average != SCORES
    )


def find_published(
    nets: Sequence[TrainedNet], method: str, scales: Sequence[Sequence[int]], *, flip: bool, average: str
) -> list[PublishedResult]:
    """Finds the paper's rows for some nets, a method and test scales.

    Args:
        nets: the nets, in any order.
        method: one of `protocol.METHODS`.
        scales: test scales Q of each net in pixels, in any order.
        flip: whether mirror images were averaged in.
        average: what was averaged over a class-score map, one of `protocol.AVERAGES`.

    Returns:
        The rows, none if the paper has no such result or tests otherwise; two where Table 5 repeats a row of Table 4.
    """

    if protocol_differences(method, flip=flip, average=average):
        return []
    wanted = PAPER_LADDER.row_key(nets, method, scales)
    return [row for row in PUBLISHED if row.key == wanted]
