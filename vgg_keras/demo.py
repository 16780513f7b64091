"""Shows in a browser what a trained net sees in photos: labels, class-score maps, explanations and boxes.

python -m vgg_keras.demo --model=runs/flowers
python -m vgg_keras.demo --model=runs/boxes --classifier=runs/quickstart --port=0
"""

from functools import partial

from vgg_keras.tasks.demo_options import DemoOptions
from vgg_keras.utils import cli


def main(options: DemoOptions) -> None:
    """Serves the page until the process is stopped."""
    with cli.loading_libraries():
        from vgg_keras.demo_page import serving
    serving.serve(options)


run = partial(cli.run, main, DemoOptions)

if __name__ == "__main__":
    run()
