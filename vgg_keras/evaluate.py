"""Tests trained models with the paper's protocol (arXiv:1409.1556, sect. 3.2 and 4).

python -m vgg_keras.evaluate --model=runs/quickstart --data_dir=runs/quickstart/data --output_dir=evaluations/quickstart
python -m vgg_keras.evaluate --flagfile=configs/tables/table5_vgg16_256_512_both.cfg
"""

from functools import partial

from vgg_keras.evaluation.layout import PAGE
from vgg_keras.evaluation.tables import RECORD, REPORT
from vgg_keras.tasks.options import EvaluateOptions
from vgg_keras.utils import cli, cluster, console


def main(options: EvaluateOptions) -> None:
    """Tests the models, and prints the results; an evaluator of a cluster has nothing to do."""
    if cluster.is_evaluator():
        console.say(cluster.EVALUATOR_NOTE)
        return
    with cli.loading_libraries():
        from vgg_keras.tasks import evaluation
    result = evaluation.evaluate_model(options)
    if not result.chief:
        console.say(f"this worker is done; the results are in {result.folder}, and the chief shows them")
        return
    if result.resumed:
        console.say(f"{result.folder} holds this evaluation already")
    console.say_table(result.shown())
    if result.comparison:
        console.say_table(result.comparison)
    if result.shares:
        console.say(result.shares)
    console.say(result.summary())
    if result.advice:
        console.say(result.advice)
    console.say(f"numbers: {result.folder / RECORD}; report: {result.folder / REPORT}; page: {result.folder / PAGE}")


run = partial(cli.run, main, EvaluateOptions)

if __name__ == "__main__":
    run()
