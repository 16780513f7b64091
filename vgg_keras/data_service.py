"""Decodes training photos for other machines: a dispatcher or a worker of a `tf.data` service.

python -m vgg_keras.data_service --port=5050
python -m vgg_keras.data_service --dispatcher=grpc://first:5050
"""

from functools import partial

from vgg_keras.tasks.options import DataServiceOptions
from vgg_keras.utils import cli


def main(options: DataServiceOptions) -> None:
    """Serves until the process is stopped."""
    options.dispatcher_address()
    with cli.loading_libraries():
        from vgg_keras.tasks import data_serving
    data_serving.serve(options)


run = partial(cli.run, main, DataServiceOptions)

if __name__ == "__main__":
    run()
