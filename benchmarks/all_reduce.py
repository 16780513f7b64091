"""Measures a step of two workers over a link of 1 and of 10 Gbit/s, against gradients that travel in one pack.

Both workers run on this machine, each in a network namespace of its own; `tc` limits the link between them. They share
the machine's cores, so that each computes at half its speed: what counts is how much longer a step is than the ceiling,
the same step without the exchange. Needs Linux, `ip`, `tc` and root's rights.

Predicted for net D, whose 138 million gradients each worker sends once to the other: 553 MB and 4.4 seconds at 1 Gbit/s
in float32, half of both in bfloat16, a tenth of the seconds at 10 Gbit/s. In packs, the nine tenths of the fully
connected layers travel while the gradients of the convolutions are computed.
"""

import concurrent.futures
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks.harness import links, sides
from benchmarks.harness.definitions import Benchmark, Figure, Settings, Side
from vgg_keras.utils.errors import UserError

_PORT = 5000
# How the gradients are exchanged: the dtype, and whether in packs; "" for no exchange.
_ONE_PACK, _ALONE = "float32 in one pack", "alone"
_EXCHANGES = {
    _ONE_PACK: ("float32", False),
    "float32": ("float32", True),
    "bfloat16": ("bfloat16", True),
    _ALONE: ("", False),
}


def work(net: str, width: float, side: int, batch_size: int, steps: int) -> None:
    """Works as a worker of TF_CONFIG: reads how to exchange the gradients from stdin, answers the seconds of a step.

    Args:
        net: key of `NETS`.
        width: factor of the net's width.
        side: side of the images in pixels.
        batch_size: number of images of both workers together.
        steps: number of steps for each line that it reads.
    """
    import tensorflow as tf

    from vgg_keras.models import vgg
    from vgg_keras.training import all_reduce, optimizers, train_step
    from vgg_keras.utils import cluster, devices
    from vgg_keras.utils.channel import joined

    with joined(cluster.from_environment(), 600.0) as channel:
        strategy, _ = devices.make_strategy("multi_worker", channel)
        with strategy.scope():
            glorot = vgg.Initialization("glorot", seed=0)
            model = vgg.build(net, width_multiplier=width, input_size=side, initialization=glorot)
            made = optimizers.make_optimizers(optimizers.OptimizerConfig("sgd", 1e-3, 0.9), model.layers)
        half = batch_size // 2
        images = tf.random.stateless_uniform((half, side, side, 3), (0, 0), 0, 255)
        batch = {"image": images, "label": tf.range(half), "row": tf.range(half)}
        data = strategy.distribute_datasets_from_function(lambda _: tf.data.Dataset.from_tensors(batch))
        batch = next(iter(data))
        compiled: dict[str, train_step.TrainStep] = {}
        exchange, bytes_per_pack = all_reduce.sum_over_devices, all_reduce.BYTES_PER_PACK

        def keep(gradients: Sequence[tf.Tensor], dtype: str = "") -> list[tf.Tensor]:
            return list(gradients)

        for line in sys.stdin:
            dtype, in_packs = _EXCHANGES[line.strip()]
            # A step is traced with what is set here when it is done for the first time.
            all_reduce.BYTES_PER_PACK = bytes_per_pack if in_packs else 0
            all_reduce.sum_over_devices = exchange if dtype else keep
            config = train_step.StepConfig(
                batch_size=batch_size, micro_batch_size=32, seed=0, all_reduce=dtype, in_cluster=True
            )
            if line not in compiled:
                compiled[line] = train_step.TrainStep(model, made, strategy, config)
                compiled[line].train(batch, 0).numpy()
            channel.agree("begin", "")
            started = time.perf_counter()
            for number in range(steps):
                compiled[line].train(batch, number).numpy()
            sys.stdout.write(f"{(time.perf_counter() - started) / steps}\n")
            sys.stdout.flush()


@contextlib.contextmanager
def _workers(link: links.Link, settings: Settings, arguments: Sequence) -> Iterator[Callable[[str], float]]:
    """Starts both workers, and yields the function from an exchange to the seconds of a step, of the slower one."""
    addresses = [f"{address}:{_PORT}" for address in links.ADDRESSES]
    processes: list[subprocess.Popen] = []
    logs = [settings.scratch / f"worker{index}.log" for index in (0, 1)]
    code = f"from benchmarks import all_reduce; all_reduce.work(*{tuple(arguments)!r})"
    for index, log in enumerate(logs):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "PYTHONPATH": str(sides.CODE), "TF_CONFIG": json.dumps(task)}
        with log.open("w", encoding="utf-8") as errors:
            process = subprocess.Popen(
                [*link.inside(index), sys.executable, "-c", code],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            processes.append(process)

    def ask(index: int, exchange: str) -> float:
        with contextlib.suppress(BrokenPipeError, ValueError):
            asked, answers = processes[index].stdin, processes[index].stdout
            assert asked  # both are pipes
            assert answers
            asked.write(f"{exchange}\n")
            asked.flush()
            return float(answers.readline())
        said = (logs[index].read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no message"])[-1]
        raise UserError(f"worker {index} ended: {said}")

    try:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            yield lambda exchange: max(pool.map(ask, (0, 1), (exchange, exchange)))
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@contextlib.contextmanager
def prepare(settings: Settings) -> Iterator[Sequence[Figure]]:
    """Yields the figures: net D and 8 images at 224x224 pixels, or quickly a narrow net A and 4 at 64x64."""
    net, width, side, batch_size, steps = ("A", 1 / 8, 64, 4, 1) if settings.quick else ("D", 1.0, 224, 8, 2)
    with links.link() as link, _workers(link, settings, (net, width, side, batch_size, steps)) as seconds:
        sent: dict[tuple[float, str], float] = {}
        compiled = set()

        def side_of(gigabits: float, exchange: str) -> Side:
            def measured() -> float:
                link.limit(gigabits)
                if exchange not in compiled:  # that takes a step of its own
                    seconds(exchange)
                    compiled.add(exchange)
                before = link.bytes_sent()
                taken = seconds(exchange)
                sent[gigabits, exchange] = (link.bytes_sent() - before) / steps
                return taken

            return measured

        def figure(gigabits: float, exchange: str) -> Figure:
            return Figure(
                name=f"net {net}, {batch_size} images, {gigabits:g} Gbit/s, {exchange}",
                ours=side_of(gigabits, exchange),
                peer=side_of(gigabits, _ONE_PACK),
                ceiling=side_of(gigabits, _ALONE),
                details=lambda: f"each worker sends {sent[gigabits, exchange] / 1e6:.1f} MB a step",
            )

        yield [figure(gigabits, exchange) for gigabits in (1, 10) for exchange in ("float32", "bfloat16")]


BENCHMARK = Benchmark(
    ours="a step of two workers that send their gradients in packs, in float32 or in bfloat16",
    peer="the same with all gradients as one pack of float32 after the backward pass",
    ceiling="the same without the exchange of the gradients",
    prepare=prepare,
)
