"""Writes commands that can be copied into a shell as they are."""

import shlex


def command(module: str, *arguments: object, **flags: object) -> str:
    """Returns a command line, quoted for the shell.

    Args:
        module: dotted name of a verb's module.
        arguments: arguments without a name, and flags that are already written as `--name`.
        flags: values of flags by name.

    >>> command("vgg_keras.train", data_dir="my photos", output_dir="runs/photos")
    "python -m vgg_keras.train '--data_dir=my photos' --output_dir=runs/photos"
    """
    words = ["python", "-m", module, *(f"--{name}={value}" for name, value in flags.items()), *map(str, arguments)]
    return shlex.join(words)
