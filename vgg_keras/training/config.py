"""Holds the settings of training; the defaults are the paper's (arXiv:1409.1556, sect. 3.1)."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from vgg_keras.models import run_record
from vgg_keras.models.architectures import (
    ALIASES,
    BOX_REGRESSIONS,
    CLASSIFICATION,
    INITIALIZERS,
    LOCALIZATION,
    NETS,
    PCR,
    TASKS,
    TOTAL_STRIDE,
)
from vgg_keras.models.preparation import CROPS, INPUT_SCALINGS, ISOTROPIC, MEAN, RANDOM, RANDOM_RESIZED, RESIZES
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.hardware import ALL_REDUCES, PRECISIONS, STRATEGIES
from vgg_keras.utils.options import FOLDER, Options, PathLike, option
from vgg_keras.utils.service_address import ServiceAddress

DRAWN_FLOWERS = "drawn_flowers"

PLATEAU, COSINE = "plateau", "cosine"
SCHEDULES = (PLATEAU, COSINE)

# Settings that may differ when a run is resumed; with any other difference it would be another run.
MAY_CHANGE = (
    "data_dir",
    "output_dir",
    "epochs",
    "max_steps",
    "micro_batch_size",
    "strategy",
    "cpu_devices",
    "all_reduce",
    "jit_compile",
    "resume",
    "checkpoint_every",
    "keep_checkpoints",
    "log_every",
    "worker_timeout",
    "data_service",
    "export_dir",
    "report",
)
# Flags that mean something for one task alone.
_FLAGS_OF_TASK = {
    CLASSIFICATION: ("metrics", "num_outputs"),
    LOCALIZATION: ("box_regression",),
}
# Settings that may differ between the workers of a cluster; their data and folder are compared, not the paths to them.
MAY_DIFFER = ("data_dir", "output_dir", "export_dir", "worker_timeout", "data_service")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(Options):
    """Options of `vgg_keras.train`."""

    takes_cluster: ClassVar[bool] = True

    task: str = option(
        CLASSIFICATION,
        "what the net learns: the class of a photo, or the box of its object (the paper's appendix A)",
        choices=TASKS,
        group="net",
    )
    box_regression: str = option(
        PCR,
        "for --task=localization: pcr: a box for each class; scr: one box, whatever the class",
        choices=BOX_REGRESSIONS,
        group="net",
    )
    net: str = option(
        "D",
        "net of the paper's Table 1, or the shallow B-5x5 of sect. 4.1",
        choices=tuple(NETS),
        group="net",
        aliases=ALIASES,
    )
    data_dir: PathLike = option(
        "",
        "a data set written by data_prep, or TFDS's root folder where --dataset names one there",
        group="data",
        path=True,
    )
    dataset: str = option(
        "",
        f"a TFDS data set by name, such as tf_flowers; {DRAWN_FLOWERS}: five drawn kinds, made on the spot",
        group="data",
    )
    train_split: str = option("train", "the training split, in TFDS's notation: train[:90%]", group="data")
    validation_split: str = option("validation", "the validation split", group="data")
    output_dir: PathLike = option(
        "", "the run's folder", required=True, group="run", output=FOLDER, layout=run_record.LAYOUT
    )
    batch_size: int = option(256, "number of images in a step, of all devices together", lower=1, group="optimization")
    micro_batch_size: int = option(
        0,
        "number of images that a device computes at a time; 0: 32 on a CPU, all on a GPU, and fewer if memory runs out",
        lower=0,
        group="devices",
    )
    epochs: int = option(74, "passes over the training split", lower=1, group="optimization")
    max_steps: int = option(0, "number of steps to stop after; 0: after --epochs", lower=0, group="optimization")
    train_scale: str | int | Sequence[int] = option(
        "256", "training scale S, the smallest side in pixels: 256, 384, or 256,512 for any in between", group="data"
    )
    crop: str = option(
        RANDOM,
        "what is cut out of a training photo; random: a crop of the photo rescaled to S, as in the paper; "
        "random_resized: a window of 8 to 100% of its area and of random shape, resized, without S",
        choices=CROPS,
        group="data",
    )
    validation_resize: str = option(
        ISOTROPIC,
        "how photos are resized for validation; isotropic: to S, then the centre is cut out; squash: to the input size "
        "whatever their shape, in later tests of the model too",
        choices=RESIZES,
        group="data",
    )
    optimizer: str = option(
        "sgd", "sgd, another of Keras's by name, such as adam, or a registered one: Addons>SGDW", group="optimization"
    )
    optimizer_args: str | dict[str, Any] = option(
        "", 'further arguments of its class as JSON: {"weight_decay": 1e-4}', group="optimization"
    )
    learning_rate: float = option(1e-2, "initial learning rate", lower=0.0, group="optimization")
    momentum: float = option(0.9, "momentum of sgd", lower=0.0, upper=1.0, group="optimization")
    metrics: str | dict[str, Any] = option(
        "",
        'more metrics of validation (posteriors, one-hot labels) as JSON: {"Addons>CohenKappa": {"num_classes": 5}}',
        group="optimization",
    )
    weight_decay: float = option(5e-4, "L2 penalty; its gradient is weight_decay * w", lower=0.0, group="optimization")
    dropout: float = option(0.5, "dropout rate after FC6 and FC7", lower=0.0, upper=0.99, group="net")
    initializer: str = option(
        "glorot",
        "distribution of the initial weights; normal: the paper's, whose variance is too large for a deep net to learn",
        choices=INITIALIZERS,
        group="net",
    )
    initializer_variance: float = option(1e-2, "variance of --initializer=normal", lower=0.0, group="net")
    init_from: PathLike = option(
        "",
        "take weights, and the mean, from another model, in any format that vgg_keras.pretrained reads; "
        "keras_applications downloads, for other than 1000 classes the convolutions alone",
        group="transfer",
        path=True,
        layout=run_record.LAYOUT,
    )
    num_outputs: int = option(
        0,
        "number of the net's outputs, such as the 1000 of a published head, which is then taken whole; the data set's "
        "classes are the first of them, and best.keras has these alone; 0: the number of classes",
        lower=0,
        group="net",
    )
    strict: bool = option(
        False, "fail if a layer of --init_from is missing, unexpected or of another shape", group="transfer"
    )
    batch_norm: bool = option(False, "batch normalization after each convolution (not in the paper)", group="net")
    width_multiplier: float = option(
        1.0, "scales the channels of every hidden layer, for small experiments", lower=0.0, group="net"
    )
    input_size: int = option(
        224, f"side of the training crop, a multiple of {TOTAL_STRIDE}", lower=TOTAL_STRIDE, group="net"
    )
    input_scaling: str = option(
        MEAN,
        "what the net's first layer does to RGB 0..255; mean: subtract the mean, as in the paper; minus_one_to_one: "
        "(x/255 - 0.5)/0.5",
        choices=INPUT_SCALINGS,
        group="net",
    )
    rgb_shift: float = option(
        0.1,
        "strength of the random colour shift: the standard deviation of its factors; 0: none",
        lower=0.0,
        group="data",
    )
    pretrained_rate: float = option(
        1.0, "learning-rate multiplier of the layers that --init_from gave", lower=0.0, group="transfer"
    )
    freeze_up_to: str = option(
        "", "the last layer that is not trained, such as block4_pool; empty: all are trained", group="transfer"
    )
    cache_views: int = option(
        0,
        "number of augmented views of each photo for which the frozen layers are computed once; 0: in each step",
        lower=0,
        group="transfer",
    )
    cache_side: int = option(
        0,
        "side of these views in pixels; if larger than --input_size, crops and mirror images of their maps are drawn",
        lower=0,
        group="transfer",
    )
    schedule: str = option(
        PLATEAU, "learning-rate schedule; plateau: the paper's rule", choices=SCHEDULES, group="optimization"
    )
    warm_up_steps: int = option(
        0, "number of steps in which the learning rate grows to its initial value", lower=0, group="optimization"
    )
    plateau_patience: int = option(
        5, "number of epochs without a better validation error before the rate drops", lower=1, group="optimization"
    )
    early_stop: int = option(
        0, "number of epochs without a better model to stop after; 0: never", lower=0, group="optimization"
    )
    seed: int = option(0, "seed from which everything random follows", lower=0, group="run")
    precision: str = option(
        "auto", "dtype policy; auto: mixed_bfloat16 where the hardware has it", choices=PRECISIONS, group="devices"
    )
    jit_compile: str = option(
        "auto", "compile with XLA; auto: on a single GPU", choices=("auto", "true", "false"), group="devices"
    )
    strategy: str = option(
        "auto", "how the work is shared out over devices and machines", choices=STRATEGIES, group="devices"
    )
    cpu_devices: int = option(
        1, "number of devices that the CPU is split into, to try --strategy=mirrored", lower=1, group="devices"
    )
    all_reduce: str = option(
        "float32",
        "dtype in which several devices send each other their gradients; bfloat16: half the bytes, rounded",
        choices=ALL_REDUCES,
        group="devices",
    )
    worker_timeout: float = option(
        300.0,
        "number of seconds to wait for the other workers and --data_service at the start, and later for a sign of life "
        "of each",
        lower=1.0,
        group="devices",
    )
    data_service: str = option(
        "",
        "address of a tf.data service whose workers decode the training photos, such as grpc://first:5050 "
        "(vgg_keras.data_service); empty: this process does",
        group="devices",
    )
    resume: bool = option(False, "resume the run in --output_dir, if there is one", group="run")
    checkpoint_every: int = option(
        1000, "number of steps between checkpoints; there is one after each epoch anyway", lower=1, group="run"
    )
    keep_checkpoints: int = option(3, "number of checkpoints to keep", lower=1, group="run")
    log_every: int = option(20, "number of steps between updates of the displayed loss", lower=1, group="run")
    export_dir: PathLike = option(
        "", "when done, export the best model there, as vgg_keras.export does", group="run", output=FOLDER
    )
    report: bool = option(
        True, "when done, write report.html, a page that shows the run, as vgg_keras.report --run does", group="run"
    )

    def data_source(self) -> tuple[str, str]:
        """Returns what opens the data set: its folder, and its name, or "" for drawn flowers, which have a folder."""
        if self.dataset != DRAWN_FLOWERS:
            return str(self.data_dir), self.dataset
        return str(self.data_dir or Path(self.output_dir) / "data"), ""

    def scale_range(self) -> tuple[int, int]:
        """Returns (Smin, Smax), the range of --train_scale in pixels.

        Raises:
            UserError: --train_scale is not one scale or an increasing pair, or is smaller than --input_size.
        """
        try:
            scales = [int(part) for part in str(self.train_scale).split(",")]
        except ValueError:
            scales = []
        if len(scales) not in (1, 2) or scales != sorted(scales) or scales[0] < self.input_size:
            raise UserError(
                f"--train_scale={self.train_scale} must be one side, or the smallest and the largest as 256,512, "
                f"each at least --input_size={self.input_size}"
            )
        return scales[0], scales[-1]

    def crop_scales(self) -> tuple[int, int] | None:
        """Returns `scale_range()`, or None if training images are not rescaled to S but cut to windows of any size."""
        return None if self.crop == RANDOM_RESIZED else self.scale_range()

    def known_train_scale(self) -> str:
        """Returns --train_scale as a model's metadata holds it: "256", "256,512" for any scale in between, "" for none.

        Raises:
            UserError: --train_scale is malformed.
        """
        if self.crop_scales() is None:
            return ""
        return ",".join(map(str, sorted(set(self.scale_range()))))

    def test_scale(self) -> int:
        """Returns the validation scale Q in pixels: S, or the middle of the range of S (arXiv:1409.1556, sect. 4.1).

        A net without S is validated at the size of its input, at which it is tested later too.

        Raises:
            UserError: --train_scale is malformed.
        """
        scales = self.crop_scales()
        return sum(scales) // 2 if scales else self.input_size

    def service_address(self) -> ServiceAddress | None:
        """Returns the address of --data_service, or None if this process decodes the photos itself.

        Raises:
            UserError: the flag is not an address.
        """
        return ServiceAddress.parse("data_service", self.data_service) if self.data_service else None

    def optimizer_arguments(self) -> dict:
        """Parses --optimizer_args.

        Raises:
            UserError: the flag is not a JSON object.
        """
        return _json_object("optimizer_args", str(self.optimizer_args), '{"weight_decay": 1e-4}')

    def metric_arguments(self) -> dict[str, dict]:
        """Parses --metrics: {metric name: arguments}.

        Raises:
            UserError: the flag is not a JSON object of JSON objects.
        """
        example = '{"TopKCategoricalAccuracy": {"k": 2}}'
        described = _json_object("metrics", str(self.metrics), example)
        for arguments in described.values():
            _json_object("metrics", json.dumps(arguments), example)
        return described

    def validate(self) -> None:
        """Checks every setting that can be checked without data or a model.

        Raises:
            UserError: a setting is malformed, or settings contradict each other.
        """
        self._validate_crop()
        self.crop_scales()
        self.service_address()
        self.optimizer_arguments()
        self.metric_arguments()
        self._validate_cache()
        self._validate_task()

    def _validate_crop(self) -> None:
        """Checks that nothing is asked of windows of random size that only crops of a rescaled photo have.

        Raises:
            UserError: --train_scale or --cache_side is given with --crop=random_resized.
        """
        for flag in ("train_scale", "cache_side"):
            default = self.defaults()[flag]
            if self.crop == RANDOM_RESIZED and getattr(self, flag) != default:
                raise UserError(
                    f"--{flag}={getattr(self, flag)} is for --crop={RANDOM}; --crop={RANDOM_RESIZED} cuts windows of "
                    f"any size out of the photos as they are: leave --{flag} out, or give its default, {default}"
                )

    def box_kind(self) -> str | None:
        """Returns --box_regression, or None if the net learns classes."""
        return self.box_regression if self.task == LOCALIZATION else None

    def _validate_task(self) -> None:
        """Checks that nothing is asked for that only a net of the other task has.

        Raises:
            UserError: a flag is for the other task only.
        """
        for task, flags in _FLAGS_OF_TASK.items():
            changed = self.changed(flags)
            if changed and self.task != task:
                raise UserError(f"--{changed[0]} is for --task={task}; leave it out for {self.task}")

    def _validate_cache(self) -> None:
        """Checks that the cached layers are frozen, and that the cached views are at least the crop and at most S.

        Raises:
            UserError: --cache_views is given without --freeze_up_to, or --cache_side is out of its range.
        """
        if self.cache_views and not self.freeze_up_to:
            raise UserError(
                f"--cache_views={self.cache_views} keeps the outputs of layers that are not trained: "
                "name the last of them with --freeze_up_to"
            )
        if not self.cache_side:
            return
        smallest = self.scale_range()[0]
        if not self.cache_views or not self.input_size <= self.cache_side <= smallest:
            raise UserError(
                f"--cache_side={self.cache_side} needs --cache_views, and must lie between "
                f"--input_size={self.input_size} and the smallest --train_scale={smallest}"
            )

    def view_side(self) -> int:
        """Returns the side in pixels of the crops that are cut out of training images: --cache_side or --input_size."""
        return self.cache_side or self.input_size


def _json_object(flag: str, text: str, example: str) -> dict:
    try:
        content = json.loads(text or "{}")
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise UserError(f"--{flag}={text} must be a JSON object, such as '{example}'")
    return content
