"""Does a training step as one of the workers of TF_CONFIG; `python -m tests.helpers.worker_step DTYPE FILE`.

The file receives the changes of the trained weights, which are the gradients summed over all workers. They travel in
many packs, of 10 kB and more.
"""

import sys

import numpy as np
import tensorflow as tf

from tests.helpers.nets import small
from vgg_keras.training import all_reduce
from vgg_keras.training.optimizers import OptimizerConfig, make_optimizers
from vgg_keras.training.train_step import StepConfig, TrainStep
from vgg_keras.utils import cluster, devices
from vgg_keras.utils.channel import joined


def make_batch() -> dict[str, np.ndarray]:
    """Makes the batch of both workers, of eight images."""
    rng = np.random.default_rng(0)
    images, labels = rng.uniform(0, 255, (8, 32, 32, 3)), rng.integers(0, 5, 8)
    return {"image": np.float32(images), "label": np.int32(labels), "row": np.arange(8, dtype=np.int32)}


def main(dtype: str, path: str) -> None:
    """Does the step, and writes the file."""
    all_reduce.BYTES_PER_PACK = 10_000
    with joined(cluster.from_environment(), 300.0) as channel:
        strategy, _ = devices.make_strategy("multi_worker", channel)
        with strategy.scope():
            model = small()
            optimizers = make_optimizers(OptimizerConfig("sgd", 1.0, 0.0), model.layers)
        config = StepConfig(batch_size=8, micro_batch_size=8, seed=0, in_cluster=True, all_reduce=dtype)
        step = TrainStep(model, optimizers, strategy, config)
        own = slice(4 * channel.cluster.index, 4 * channel.cluster.index + 4)
        batch = {name: values[own] for name, values in make_batch().items()}
        data = strategy.distribute_datasets_from_function(lambda _: tf.data.Dataset.from_tensors(batch))
        before = [variable.numpy() for variable in model.trainable_variables]
        step.train(next(iter(data)), 0).numpy()
        changes = [old - new.numpy() for old, new in zip(before, model.trainable_variables, strict=True)]
        np.savez(path, *changes)
        channel.agree("done", "")


if __name__ == "__main__":
    main(*sys.argv[1:])
