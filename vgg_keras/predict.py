"""Classifies photos, and draws boxes around their objects.

python -m vgg_keras.predict --model=runs/flowers photo.jpg more_photos/ 'others/*.png'
python -m vgg_keras.predict --model=runs/boxes --classifier=runs/quickstart --output_dir=predicted photo.jpg
"""

from functools import partial

from vgg_keras.tasks.options import PredictOptions
from vgg_keras.utils import cli


def main(options: PredictOptions) -> None:
    """Classifies the photos, and prints and writes their labels."""
    with cli.loading_libraries():
        from vgg_keras.tasks import prediction
    prediction.predict(options)


run = partial(cli.run, main, PredictOptions)

if __name__ == "__main__":
    run()
