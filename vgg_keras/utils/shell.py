"""Builds commands that users can copy into a shell."""

import shlex


def command(module: str, **flags: object) -> str:
    """Returns the command that runs a verb, quoted for a POSIX shell.

    >>> command("vgg_keras.train", data_dir="data/my photos", resume=True, flip=False)
    "python -m vgg_keras.train --data_dir='data/my photos' --resume --noflip"

    Args:
        module: dotted name of the verb's module.
        flags: value of each flag by its name, in order: a bool, or anything whose `str` is the value.
    """
    return " ".join(["python -m", shlex.quote(module), *(flag(name, value) for name, value in flags.items())])


def flag(name: str, value: object) -> str:
    """Returns a flag with its value, quoted for a POSIX shell.

    >>> flag("source_dir", "my photos")
    "--source_dir='my photos'"

    Args:
        name: name of the flag.
        value: a bool, or anything whose `str` is the value.
    """
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    return f"--{name}={shlex.quote(str(value))}"
