"""Sends valid and malformed requests to a served model; reports latency and agreement with its source.

python -m vgg_keras.serve_check --model=saved_models/vgg16
python -m vgg_keras.serve_check --model=saved_models/vgg16 --url=http://localhost:8501 --url=grpc://localhost:8500
"""

from functools import partial

from vgg_keras.tasks.options import ServeCheckOptions
from vgg_keras.utils import cli


def main(options: ServeCheckOptions) -> None:
    """Checks every server, and prints the outcomes."""
    with cli.loading_libraries():
        from vgg_keras.tasks import serving_check
    serving_check.check_server(options)


run = partial(cli.run, main, ServeCheckOptions)

if __name__ == "__main__":
    run()
