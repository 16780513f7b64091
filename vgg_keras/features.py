"""Computes image descriptors from a layer's outputs, and classifies them by a linear SVM (arXiv:1409.1556, appendix B).

python -m vgg_keras.features --model=models/vgg16.keras --data_dir=data/flowers --test_scales=256,384 --classifier \
    --output=features/flowers.npz
"""

from functools import partial

from vgg_keras.tasks.features_options import FeaturesOptions
from vgg_keras.utils import cli


def main(options: FeaturesOptions) -> None:
    """Computes and writes the descriptors of both splits, and classifies them if --classifier is given."""
    with cli.loading_libraries():
        from vgg_keras.tasks import description
    description.write_features(options)


run = partial(cli.run, main, FeaturesOptions)

if __name__ == "__main__":
    run()
