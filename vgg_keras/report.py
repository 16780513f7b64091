"""Collects finished evaluations into the paper's Tables 3 to 6 and 8 to 12, beside the published figures.

python -m vgg_keras.report --evaluations_dir=evaluations
"""

from functools import partial

from vgg_keras.tasks import paper_tables
from vgg_keras.tasks.options import ReportOptions
from vgg_keras.utils import cli


def main(options: ReportOptions) -> None:
    """Reads the evaluations, prints the tables, and writes them as Markdown."""
    paper_tables.report(options)


run = partial(cli.run, main, ReportOptions)

if __name__ == "__main__":
    run()
