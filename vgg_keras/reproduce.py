"""Reproduces the paper's tables: trains and tests the nets of a suite in order, and goes on after a stop.

python -m vgg_keras.reproduce --suite=quick --output_dir=reproduced/quick
python -m vgg_keras.reproduce --suite=cifar10 --output_dir=reproduced/cifar10
"""

from functools import partial

from vgg_keras.tasks import reproduction
from vgg_keras.tasks.options import ReproduceOptions
from vgg_keras.utils import cli
from vgg_keras.utils.keras_backend import require_tensorflow


def main(options: ReproduceOptions) -> None:
    """Runs the suite, and prints its tables, or lists its steps."""
    if options.list:
        reproduction.list_steps(options)
        return
    require_tensorflow()  # or the first step would fail
    reproduction.reproduce(options)


run = partial(cli.run, main, ReproduceOptions)

if __name__ == "__main__":
    run()
