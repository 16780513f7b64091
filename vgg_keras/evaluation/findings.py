"""Lists what the paper concludes from its tables (arXiv:1409.1556, sect. 4), each as a comparison of two results."""

import dataclasses

from vgg_keras.evaluation.paired import PairedDifference
from vgg_keras.evaluation.published import PUBLISHED, RowKey, sort_nets
from vgg_keras.inference.protocol import BOTH, CENTER_CROP, DENSE, MULTI, MULTI_CROP, SINGLE, TrainedNet

HOLDS, FAILS, OPEN = "holds", "does not hold", "not told apart"


@dataclasses.dataclass(frozen=True)
class Finding:
    """A conclusion of the paper from two of its results.

    Attributes:
        claim: the conclusion.
        first: the result that is compared with.
        second: the result of which the conclusion speaks.
        better: whether the second has the lower top-1 error according to the paper; False: that it has not.
        given: the paper's difference of the top-1 errors in points where its tables do not hold both results.
    """

    claim: str
    first: RowKey
    second: RowKey
    better: bool = True
    given: float | None = None

    def published(self) -> float | None:
        """Returns the paper's difference of the top-1 errors, the second minus the first, in percentage points."""
        errors = {row.key: row.top1 for row in PUBLISHED}
        if self.given is not None or not {self.first, self.second} <= errors.keys():
            return self.given
        return round(errors[self.second] - errors[self.first], 1)

    def verdict(self, measured: PairedDifference) -> str:
        """Returns HOLDS, FAILS, or OPEN if the 95% interval of the measured difference leaves both possible.

        The interval is an approximation, which few photos can mislead; the exact test has to agree with it.
        """
        low, high = measured.interval()
        seen = measured.p_value() < 0.05
        if self.better:
            return HOLDS if seen and high < 0 else FAILS if seen and low > 0 else OPEN
        # "No better" can fail alone; how much worse is not a part of the claim.
        return FAILS if seen and high < 0 else HOLDS


_FIRST, _SECOND, _JITTERED = "256", "384", "256,512"


def _row(*nets: tuple[str, str], method: str = DENSE, scales: str = SINGLE) -> RowKey:
    return RowKey(sort_nets(TrainedNet(*net) for net in nets), method, scales)


def _deeper(shallow: str, deep: str, claim: str, *, better: bool = True) -> Finding:
    return Finding(claim, _row((shallow, _FIRST)), _row((deep, _FIRST)), better)


_SEVEN_NETS = next(row.key for row in PUBLISHED if len(row.nets) == 7)
# The paper's own comparisons of scales are dense. A miniature net, whose input is a single step of 32 pixels wide, sees
# only one corner of a larger photo in this way, so that its scales can be compared at the centre crop alone.
_SCALE_METHODS = {DENSE: "", CENTER_CROP: " (centre crop)"}
_D_AND_E = (("D", _JITTERED), ("E", _JITTERED))

FINDINGS: tuple[Finding, ...] = (
    _deeper("A", "A-LRN", "local response normalization does not help (sect. 4.1)", better=False),
    _deeper("A", "B", "B, of 13 layers, is better than A, of 11"),
    _deeper("B", "C", "more non-linearity helps: C, with 1x1 convolutions, is better than B"),
    _deeper("C", "D", "context helps: D, with 3x3 convolutions, is better than C"),
    _deeper("D", "E", "at a fixed S the error saturates at 19 layers: E is no better than D", better=False),
    Finding(
        "a deep net of small filters is better than a shallow one of larger filters: B is better than B-5x5",
        _row(("B-5x5", _FIRST), method=CENTER_CROP),
        _row(("B", _FIRST), method=CENTER_CROP),
        given=-7.0,
    ),
    *(
        Finding(
            f"scale jittering in training helps: {net} is better than at the larger fixed S{where}",
            _row((net, _SECOND), method=method),
            _row((net, _JITTERED), method=method),
        )
        for method, where in _SCALE_METHODS.items()
        for net in "CDE"
    ),
    *(
        Finding(
            f"scale jittering at test time helps: jittered {net} at several Q is better than at one{where}",
            _row((net, _JITTERED), method=method),
            _row((net, _JITTERED), method=method, scales=MULTI),
        )
        for method, where in _SCALE_METHODS.items()
        for net in "CDE"
    ),
    *(
        Finding(
            f"crops are slightly better than dense evaluation ({net})",
            _row((net, _JITTERED), scales=MULTI),
            _row((net, _JITTERED), method=MULTI_CROP, scales=MULTI),
        )
        for net in "DE"
    ),
    *(
        Finding(
            f"crops and dense evaluation complement each other: both are better than crops ({net})",
            _row((net, _JITTERED), method=MULTI_CROP, scales=MULTI),
            _row((net, _JITTERED), method=BOTH, scales=MULTI),
        )
        for net in "DE"
    ),
    Finding(
        "fusing nets helps: D and E are better than E",
        _row(("E", _JITTERED), method=BOTH, scales=MULTI),
        _row(*_D_AND_E, method=BOTH, scales=MULTI),
    ),
    Finding(
        "two good nets do better than the seven that were submitted",
        _SEVEN_NETS,
        _row(*_D_AND_E, scales=MULTI),
    ),
)
