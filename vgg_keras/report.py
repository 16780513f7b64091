"""Collects evaluations into the paper's tables, beside the published figures, and shows runs as pages in HTML.

python -m vgg_keras.report --evaluations_dir=evaluations
python -m vgg_keras.report --run=runs/quickstart
"""

from functools import partial

from vgg_keras.tasks import paper_tables
from vgg_keras.tasks.options import ReportOptions
from vgg_keras.utils import cli, console


def main(options: ReportOptions) -> None:
    """Writes a page of the runs that are named; if none is, prints the tables of the evaluations and writes them."""
    if not options.run:
        paper_tables.report(options)
        return
    with cli.loading_libraries():
        from vgg_keras.tasks import run_reports
    console.say(f"written: {run_reports.report(options)}")


run = partial(cli.run, main, ReportOptions)

if __name__ == "__main__":
    run()
