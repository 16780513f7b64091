"""Exports a trained model as a fully convolutional SavedModel for photos of any size, ONNX, or TensorFlow Lite.

A model that predicts boxes is exported as a SavedModel.

python -m vgg_keras.export --model=runs/vgg16/best.keras --output_dir=saved_models/vgg16
python -m vgg_keras.export --model=runs/vgg16/best.keras --format=onnx --output_dir=saved_models/vgg16_onnx
"""

import shlex
from functools import partial

from vgg_keras.tasks.options import SAVED_MODEL, ExportOptions
from vgg_keras.utils import cli, console, shell


def main(options: ExportOptions) -> None:
    """Exports the model, and prints its agreement with its source and what to do next."""
    with cli.loading_libraries():
        from vgg_keras.tasks import exporting
    result = exporting.export_model(options)
    if options.format == SAVED_MODEL:
        console.say(result.agreement.title)
    else:
        console.say_table(result.agreement)
    console.say(f"exported {result.model} -> {result.folder}")
    for version in result.removed:
        console.say(f"removed version {version}")
    if options.format != SAVED_MODEL:
        console.say(f"judge it:      {result.judging}")
    else:
        console.say(f"model card:    {result.model_card}")
        console.say(f"signatures:    {shlex.join(['saved_model_cli', 'show', '--all', '--dir', str(result.folder)])}")
        if result.judging:
            console.say(f"judge it:      {result.judging}")
        console.say(f"try it:        {shell.command('vgg_keras.serve_check', model=options.output_dir)}")


run = partial(cli.run, main, ExportOptions)

if __name__ == "__main__":
    run()
