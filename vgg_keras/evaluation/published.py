"""The paper's test scales and its published errors (arXiv:1409.1556, Tables 3 to 6) as data."""

import dataclasses
from collections.abc import Sequence

SINGLE, MULTI = "single", "multi"
# How an image is looked at; "both" is the mean of the first two (sect. 3.2).
DENSE, MULTI_CROP, BOTH, CENTER_CROP = "dense", "multi_crop", "both", "center_crop"
METHODS = (DENSE, MULTI_CROP, BOTH, CENTER_CROP)

# Step between the scales at which a net of a fixed S is tested (sect. 4.2).
_SCALE_STEP = 32


def test_scales(train_scale: tuple[int, int], kind: str) -> tuple[int, ...]:
    """Returns the test scales Q that the paper uses for a training scale.

    Args:
        train_scale: (Smin, Smax) of the training scale S, pixels.
        kind: SINGLE: S, or 0.5 (Smin + Smax) (sect. 4.1); MULTI: S - 32, S, S + 32, or Smin, the middle, Smax (sect.
            4.2).
    """
    low, high = train_scale
    middle = (low + high) // 2
    if kind == SINGLE:
        return (middle,)
    return (low, middle, high) if low < high else (low - _SCALE_STEP, low, low + _SCALE_STEP)


@dataclasses.dataclass(frozen=True)
class TrainedNet:
    """A net and the scale that it was trained with.

    Attributes:
        net: a key of `architectures.NETS`.
        train_scale: S as in `--train_scale`: "256", or "256,512" for any in between.
    """

    net: str
    train_scale: str

    def scale_range(self) -> tuple[int, int]:
        """Returns (Smin, Smax)."""
        scales = [int(side) for side in self.train_scale.split(",")]
        return scales[0], scales[-1]


@dataclasses.dataclass(frozen=True)
class Published:
    """A row of one of the paper's tables: errors on ILSVRC-2012 in percent.

    Attributes:
        table: its number.
        nets: one net, or those whose posteriors are averaged.
        method: of `METHODS`.
        scales: SINGLE or MULTI.
        top1: top-1 error on the validation set.
        top5: top-5 error on the validation set.
        test_top5: top-5 error on the test set, where the paper gives it.
    """

    table: int
    nets: tuple[TrainedNet, ...]
    method: str
    scales: str
    top1: float
    top5: float
    test_top5: float | None = None

    def test_scales(self) -> tuple[tuple[int, ...], ...]:
        """Returns the test scales of each net."""
        return tuple(test_scales(trained.scale_range(), self.scales) for trained in self.nets)


_JITTERED = "256,512"
_SINGLE_SCALE = {
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
_MULTI_SCALE = {
    ("B", "256"): (28.2, 9.6),
    ("C", "256"): (27.7, 9.2),
    ("C", "384"): (27.8, 9.2),
    ("C", _JITTERED): (26.3, 8.2),
    ("D", "256"): (26.6, 8.6),
    ("D", "384"): (26.5, 8.6),
    ("D", _JITTERED): (24.8, 7.5),
    ("E", "256"): (26.9, 8.7),
    ("E", "384"): (26.7, 8.6),
    ("E", _JITTERED): (24.8, 7.5),
}
_MULTI_CROP = {
    ("D", DENSE): (24.8, 7.5),
    ("D", MULTI_CROP): (24.6, 7.5),
    ("D", BOTH): (24.4, 7.2),
    ("E", DENSE): (24.8, 7.5),
    ("E", MULTI_CROP): (24.6, 7.4),
    ("E", BOTH): (24.4, 7.1),
}
_JITTERED_D, _JITTERED_E = TrainedNet("D", _JITTERED), TrainedNet("E", _JITTERED)
# Seven nets: what was submitted to the challenge, before the jittered nets were trained in all layers.
_SUBMITTED = (
    TrainedNet("D", "256"),
    TrainedNet("D", "384"),
    _JITTERED_D,
    TrainedNet("C", "256"),
    TrainedNet("C", "384"),
    TrainedNet("E", "256"),
    TrainedNet("E", "384"),
)

PUBLISHED: tuple[Published, ...] = (
    *(Published(3, (TrainedNet(*key),), DENSE, SINGLE, *errors) for key, errors in _SINGLE_SCALE.items()),
    *(Published(4, (TrainedNet(*key),), DENSE, MULTI, *errors) for key, errors in _MULTI_SCALE.items()),
    *(
        Published(5, (TrainedNet(net, _JITTERED),), method, MULTI, *errors)
        for (net, method), errors in _MULTI_CROP.items()
    ),
    Published(6, _SUBMITTED, DENSE, MULTI, 24.7, 7.5, 7.3),
    Published(6, (_JITTERED_D, _JITTERED_E), DENSE, MULTI, 24.0, 7.1, 7.0),
    Published(6, (_JITTERED_D, _JITTERED_E), MULTI_CROP, MULTI, 23.9, 7.2),
    Published(6, (_JITTERED_D, _JITTERED_E), BOTH, MULTI, 23.7, 6.8, 6.8),
)


def rows_of(nets: Sequence[TrainedNet], method: str, scales: Sequence[Sequence[int]]) -> list[Published]:
    """Returns the paper's rows for these nets (in any order), this method and these test scales; Table 5 repeats some.

    Args:
        nets: the nets.
        method: of `METHODS`.
        scales: the test scales of each net, in any order.
    """

    def key(nets, scales) -> list:
        return sorted(
            (trained.net, trained.train_scale, sorted(of_net)) for trained, of_net in zip(nets, scales, strict=True)
        )

    wanted = key(nets, scales)
    return [row for row in PUBLISHED if row.method == method and key(row.nets, row.test_scales()) == wanted]
