"""Trains a net with the paper's procedure (arXiv:1409.1556, sect. 3.1).

python -m vgg_keras.train --flagfile=configs/quickstart.cfg
python -m vgg_keras.train --flagfile=configs/vgg19.cfg --data_dir=data/imagenet
"""

from functools import partial

from vgg_keras.training.config import TrainConfig
from vgg_keras.utils import cli, cluster, console


def main(options: TrainConfig) -> None:
    """Trains the net, and prints the results and what to do next; an evaluator of a cluster has nothing to do."""
    if cluster.is_evaluator():
        # No error: a job of several machines would start this task again and again, or fail as a whole.
        console.say(cluster.EVALUATOR_NOTE)
        return
    with cli.loading_libraries():
        from vgg_keras.tasks import training
    result = training.train_model(options)
    if result.chief:
        console.say(f"\n{result.summary()}")
        console.conclude(result.next_steps())


run = partial(cli.run, main, TrainConfig)

if __name__ == "__main__":
    run()
