"""Calls verbs inside the test's process."""

from collections.abc import Callable, Sequence

from vgg_keras.utils import console
from vgg_keras.utils.options import Options, parse


def call_verb(main: Callable, arguments: Sequence[str], options_class: type[Options]) -> None:
    """Calls the `main` of a verb as its command line would, with what it shows."""
    options = parse(arguments, options_class, verbose=True)
    options.check_outputs()
    with console.speaking(True):
        main(options)
