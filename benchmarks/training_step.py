"""Measures a training step against the training of plain Keras and, where it is installed, of PyTorch.

All sides train nets of the same shape on a batch of the same size, with momentum, the L2 penalty and dropout, each
library in its own process. The package's step also counts errors, and draws its dropout so that it is the same on any
number of devices. Without a GPU: net A at a quarter of its width, 32 images, in float32. On a GPU: net D, the paper's
256 images, in the precision and with the compiler that `train` chooses, which Keras then has too.
"""

import contextlib
import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.harness import sides
from benchmarks.harness.definitions import Benchmark, Figure, Settings, Side
from vgg_keras.utils import console

CLASSES = 1000
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 1e-3, 0.9, 5e-4


@dataclasses.dataclass(frozen=True)
class Work:
    """What is trained, and on how much.

    Attributes:
        net: key of `NETS`.
        width: multiple of the paper's numbers of channels.
        side: height and width of an image in pixels.
        batch_size: number of images of a step.
        steps: number of steps between two looks at the clock.
        micro_batch_size: number of images that the package puts through the net at a time.
        precision: Keras's dtype policy.
    """

    net: str
    width: float
    side: int
    batch_size: int
    steps: int
    micro_batch_size: int
    precision: str = "float32"

    def __str__(self) -> str:
        width = "" if self.width == 1 else f" at {self.width:g} of its width"
        return f"net {self.net}{width}, {self.batch_size} images of {self.side}x{self.side}, {self.precision}"

    def batch(self):
        """Returns images (B, S, S, 3) float32, 0..255, and labels (B,) int64, as arrays."""
        import numpy as np

        rng = np.random.default_rng(0)
        images = rng.uniform(0, 255, (self.batch_size, self.side, self.side, 3)).astype(np.float32)
        return images, rng.integers(0, CLASSES, self.batch_size)


def make_ours(work: Work) -> Mapping[str, Callable[[], Any]]:
    """Returns the side of the package, seconds for a step of `TrainStep`, and the memory of the GPU that it took."""
    import tensorflow as tf

    from vgg_keras.training import optimizers, train_step
    from vgg_keras.utils import devices, keras_compat

    strategy, _ = devices.make_strategy("one_device")
    with keras_compat.global_policy(work.precision), strategy.scope():
        model = _build(work)
        made = optimizers.make_optimizers(
            optimizers.OptimizerConfig("sgd", LEARNING_RATE, MOMENTUM), model.layers, precision=work.precision
        )
        config = train_step.StepConfig(
            batch_size=work.batch_size,
            micro_batch_size=work.micro_batch_size,
            seed=0,
            jit=devices.choose_jit("auto", strategy),
        )
        step = train_step.TrainStep(model, made, strategy, config)
    images, labels = work.batch()
    batch = {
        "image": tf.constant(images),
        "label": tf.constant(labels, tf.int32),
        "row": tf.range(work.batch_size),
    }

    def train() -> None:
        for number in range(work.steps):
            sums = step.train(batch, number)
        sums.numpy()  # waits for the device

    return {"ours": _per_step(train, work), "memory": _peak_memory}


def make_keras(work: Work) -> Mapping[str, Side]:
    """Returns the sides of plain Keras: seconds for a step of `fit` and of `train_on_batch`."""
    import keras
    import tensorflow as tf

    from vgg_keras.utils import devices, keras_compat

    devices.make_strategy("one_device")  # takes no more of a GPU's memory than it needs, as our side does
    with keras_compat.global_policy(work.precision):
        model = _build(work)
    model.compile(
        keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    images, labels = map(tf.constant, work.batch())
    repeated = tf.data.Dataset.from_tensors((images, labels)).repeat(work.steps)

    def train_on_batches() -> None:
        for _ in range(work.steps):
            model.train_on_batch(images, labels)

    fit = functools.partial(model.fit, repeated, shuffle=False, verbose=0)
    return {"Keras's fit": _per_step(fit, work), "Keras's train_on_batch": _per_step(train_on_batches, work)}


def make_torch(work: Work) -> Mapping[str, Side]:
    """Returns the sides of PyTorch, on a GPU as it is and compiled: seconds for a step."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = _torch_net(work).to(device, memory_format=torch.channels_last)
    images, labels = work.batch()
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).to(device, memory_format=torch.channels_last)
    answers = torch.from_numpy(labels).to(device)
    optimizer = torch.optim.SGD(net.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY)
    half = torch.autocast(device.type, torch.bfloat16, enabled=work.precision == "mixed_bfloat16")
    torch.backends.cudnn.benchmark = True

    def train(net) -> None:
        for _ in range(work.steps):
            optimizer.zero_grad()
            with half:
                loss = torch.nn.functional.cross_entropy(net(batch), answers)
            loss.backward()
            optimizer.step()
        loss.item()  # waits for the device

    nets = {"PyTorch": net} if device.type == "cpu" else {"PyTorch": net, "torch.compile": torch.compile(net)}
    return {name: _per_step(functools.partial(train, each), work) for name, each in nets.items()}


def _torch_net(work: Work):
    """Returns the net (arXiv:1409.1556, Table 1) as PyTorch's users write it."""
    import torch
    from torch import nn

    from vgg_keras.models.architectures import BLOCK_WIDTHS, FC_WIDTH, NETS

    layers: list = []
    channels, fc = 3, int(FC_WIDTH * work.width)
    for kernels, paper_width in zip(NETS[work.net], BLOCK_WIDTHS, strict=True):
        for kernel in kernels:
            width = int(paper_width * work.width)
            layers += [nn.Conv2d(channels, width, kernel, padding=kernel // 2), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.LazyLinear(fc), nn.ReLU(), nn.Dropout()]
    layers += [nn.Linear(fc, fc), nn.ReLU(), nn.Dropout(), nn.Linear(fc, CLASSES)]
    net = nn.Sequential(*layers)
    net(torch.zeros(1, 3, work.side, work.side))  # tells FC6 its number of inputs
    return net


def _build(work: Work):
    from vgg_keras.models import vgg

    return vgg.build(
        work.net,
        CLASSES,
        input_size=work.side,
        width_multiplier=work.width,
        weight_decay=WEIGHT_DECAY,
        initialization=vgg.Initialization("glorot", seed=0),
    )


def _per_step(train: Callable[[], object], work: Work) -> Side:
    seconds = sides.timed(train)
    return lambda: seconds() / work.steps


def _peak_memory() -> str:
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return ""
    return f"{tf.config.experimental.get_memory_info('GPU:0')['peak'] / 1e9:.1f} GB of the GPU's memory"


def _full_work() -> Work:
    """Returns what is trained in the whole form on this machine; starts TensorFlow."""
    import tensorflow as tf

    from vgg_keras.utils import devices

    if not tf.config.list_physical_devices("GPU"):
        return Work("A", 1 / 4, side=224, batch_size=32, steps=4, micro_batch_size=32)
    precision, _ = devices.choose_precision("auto")
    return Work("D", 1, side=224, batch_size=256, steps=8, micro_batch_size=256, precision=precision)


@contextlib.contextmanager
def prepare(settings: Settings) -> Iterator[Sequence[Figure]]:
    """Yields the figures: a step against each other way; quickly on 4 images of 64x64 pixels."""
    quick = Work("A", 1 / 4, side=64, batch_size=4, steps=1, micro_batch_size=4)
    work = quick if settings.quick else sides.apart(_full_work)
    with contextlib.ExitStack() as stack:
        ours, *peers = [stack.enter_context(sides.in_process(make, work)) for make in (make_ours, make_keras)]
        if importlib.util.find_spec("torch"):
            peers.append(stack.enter_context(sides.in_process(make_torch, work, tensorflow=False)))
        else:
            console.say("training_step: PyTorch is not installed, and left out")
        yield [
            Figure(name=f"{work}, against {way}", ours=ours["ours"], peer=peer, details=ours["memory"])
            for library in peers
            for way, peer in library.items()
        ]


BENCHMARK = Benchmark(
    ours="TrainStep.train",
    peer="keras.Model.fit and train_on_batch of the same net; PyTorch, where it is installed",
    prepare=prepare,
)
