"""Lists the chains of runs and tests that reproduce the paper's tables, as data; imports no TensorFlow."""

import dataclasses
from collections.abc import Iterator, Mapping

TRAIN, EVALUATE = "train", "evaluate"


@dataclasses.dataclass(frozen=True)
class Step:
    """A run or a test of a suite.

    Attributes:
        verb: TRAIN or EVALUATE.
        flagfile: its flag file, as `--flagfile` takes it: "configs/cifar10/vgg16.cfg".
        cost: estimate of its time, relative to the other steps of the suite.
    """

    verb: str
    flagfile: str
    cost: float

    @property
    def name(self) -> str:
        """The verb and its flag file, as users read them: "train configs/cifar10/vgg16.cfg"."""
        return f"{self.verb} {self.flagfile}"


@dataclasses.dataclass(frozen=True)
class Suite:
    """A chain of runs and tests.

    Attributes:
        folder: folder of the flag files; those of the tests lie in `tables/` below it.
        evaluations: folder below which the tests write.
        runs: flag files of the runs, in an order in which each run comes after the one that it starts from, with the
            cost of each.
        tests: flag files of the tests, those that fuse saved posteriors last, with the cost of each.
        localizers: the same of the runs of localizers, which start from classifiers.
        localizer_tests: the same of their tests, those that merge saved boxes last.
    """

    folder: str
    evaluations: str
    runs: Mapping[str, float]
    tests: Mapping[str, float]
    localizers: Mapping[str, float] = dataclasses.field(default_factory=dict)
    localizer_tests: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def steps(self) -> Iterator[Step]:
        """Yields the steps in the order in which they are done: those of the classifiers, then of the localizers."""
        for runs, tests in ((self.runs, self.tests), (self.localizers, self.localizer_tests)):
            yield from (Step(TRAIN, f"{self.folder}/{run}.cfg", cost) for run, cost in runs.items())
            yield from (Step(EVALUATE, f"{self.folder}/tables/{test}.cfg", cost) for test, cost in tests.items())


# The costs of CIFAR-10 and of the quick suite are minutes on 2 cores with bfloat16.
_CIFAR_10 = Suite(
    "configs/cifar10",
    "evaluations/cifar10",
    runs={
        **{"vgg11": 20, "vgg11_lrn": 25, "vgg13": 30, "vgg13_5x5": 30, "vgg16_c": 35, "vgg16": 40, "vgg19": 50},
        **{"vgg16_c_40": 15, "vgg16_40": 17, "vgg19_40": 20},
        **{"vgg16_c_32_48": 15, "vgg16_32_48": 17, "vgg16_32_48_fc": 8, "vgg19_32_48": 20},
    },
    tests={
        **{"vgg11": 0.7, "vgg11_lrn": 0.7, "vgg13": 0.7, "vgg16_c": 0.7, "vgg16": 0.7, "vgg19": 0.7},
        **{"vgg16_c_40": 1, "vgg16_40": 1, "vgg19_40": 1},
        **{"vgg16_c_32_48": 1, "vgg16_32_48": 15, "vgg16_32_48_fc": 1, "vgg19_32_48": 20},
        **{"vgg16_c_40_center_crop": 0.5, "vgg16_40_center_crop": 0.5, "vgg19_40_center_crop": 0.5},
        **{"vgg16_c_32_48_center_crop": 0.5, "vgg16_32_48_center_crop": 0.5, "vgg19_32_48_center_crop": 0.5},
        **{"vgg13_center_crop": 0.5, "vgg13_5x5_center_crop": 0.5, "seven_nets": 0.3, "vgg16_vgg19": 0.3},
    },
)
_QUICK = Suite(
    "configs/quick",
    "evaluations/quick",
    runs={
        "vgg11": 0.4,
        "vgg16": 0.4,
        "vgg19": 0.4,
        "vgg16_40": 0.3,
        "vgg19_40": 0.3,
        "vgg16_32_48": 0.3,
        "vgg19_32_48": 0.3,
    },
    tests={
        **{"vgg11": 0.2, "vgg16": 0.2, "vgg19": 0.2, "vgg16_40": 0.2, "vgg19_40": 0.2},
        **{"vgg16_32_48": 0.3, "vgg19_32_48": 0.3, "vgg16_vgg19": 0.2},
    },
)
# Costs as multiply-adds: of an image forward, times 3 x 74 epochs of 26 training images for each one of validation, in
# units of one epoch's; the runs that start from others are taken for half as long. Two fifths of the training images
# have boxes.
_IMAGENET = Suite(
    "configs",
    "evaluations",
    runs={
        **{
            "vgg11": 600,
            "vgg11_lrn": 600,
            "vgg13": 890,
            "vgg13_5x5": 1000,
            "vgg16_c": 930,
            "vgg16": 1200,
            "vgg19": 1500,
        },
        **{"vgg16_c_384": 470, "vgg16_384": 600, "vgg19_384": 750},
        **{"vgg16_c_256_512": 470, "vgg16_256_512": 600, "vgg16_256_512_fc": 200, "vgg19_256_512": 750},
    },
    tests={
        **{"table3_vgg11": 0.2, "table3_vgg11_lrn": 0.2},
        **{"table4_vgg13": 0.9, "table4_vgg16_c": 1, "table4_vgg16": 1.2, "table4_vgg19": 1.5},
        **{"table4_vgg16_c_384": 2.1, "table4_vgg16_384": 2.7, "table4_vgg19_384": 3.4},
        **{"table4_vgg16_c_256_512": 2.5, "table5_vgg16_256_512_both": 35, "table5_vgg19_256_512_both": 43},
        **{"submitted_vgg16_256_512_fc": 3.2, "center_crop_vgg13": 0.1, "center_crop_vgg13_5x5": 0.1},
        **{"table6_seven_nets": 0.01, "table6_vgg16_vgg19_both": 0.01},
    },
    localizers={
        **{"vgg16_256_localization": 240, "vgg16_384_localization": 240},
        **{"vgg16_384_localization_fc": 80, "vgg16_384_localization_scr_fc": 80},
    },
    localizer_tests={
        **{"table8_vgg16_384_scr_fc": 0.1, "table8_vgg16_384_fc": 0.1, "table8_vgg16_384": 0.1},
        **{"table9_vgg16": 0.4, "table9_vgg16_384": 0.9, "table9_vgg16_384_two_scales": 1.7, "table9_fusion": 0.1},
    },
)
SUITES: Mapping[str, Suite] = {"quick": _QUICK, "cifar10": _CIFAR_10, "imagenet": _IMAGENET}
