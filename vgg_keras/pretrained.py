"""Converts the weights of another model or library to a model that takes RGB 0..255 and has the same outputs.

python -m vgg_keras.pretrained --source=vgg16_weights_tf_dim_ordering_tf_kernels.h5 --output=models/vgg16.keras
python -m vgg_keras.pretrained --source=keras_applications --net=E --num_classes=5 --output=models/vgg19_flowers.keras
"""

from functools import partial

from vgg_keras.tasks.options import PretrainedOptions
from vgg_keras.utils import cli


def main(options: PretrainedOptions) -> None:
    """Reads the weights, builds the net, and writes and describes the model."""
    with cli.loading_libraries():
        from vgg_keras.tasks import conversion
    conversion.convert(options)


run = partial(cli.run, main, PretrainedOptions)

if __name__ == "__main__":
    run()
