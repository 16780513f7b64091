"""Runs a verb: its flags, its help, errors without tracebacks, and libraries that keep quiet while they load.

A verb is a module with a subclass of `Options`, a function `main(options)`, and a function `run` without arguments that
calls `cli.run(main, TheOptions)`. Only verbs read flags; the modules that they call take plain arguments. TensorFlow is
imported inside `main`, in the context `loading_libraries`, so that `--help` and a mistyped flag are answered at once.
"""

import atexit
import contextlib
import gc
import logging as standard_logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from absl import flags, logging

from vgg_keras.utils import cluster, console, last_word, stopping
from vgg_keras.utils.errors import BrokenClusterError, UserError, explain
from vgg_keras.utils.escaping import visible
from vgg_keras.utils.flagfiles import expand_flagfiles
from vgg_keras.utils.help_text import help_text, program_name
from vgg_keras.utils.keras_backend import require_tensorflow
from vgg_keras.utils.options import Options, OptionsT, parse, repeatable_flags, require_one_path

_HELP = {"--help", "-help", "-h", "--helpfull", "-helpfull", "--helpshort"}
_VERBOSITY = {"--verbosity", "-verbosity"}


def run(main: Callable[[OptionsT], None], options_class: type[OptionsT]) -> None:
    """Runs a verb and exits: parses its flags and calls `main(options)`.

    The exit status is 0; 1 after an error, with one line on stderr if the user can correct it, else with a traceback;
    `stopping.EXIT_STATUS` after SIGTERM, SIGINT or SIGHUP, with one line on stderr unless the process that started
    this one writes it, and after the loss of another worker.

    Args:
        main: the verb.
        options_class: its options.
    """
    _set_up_streams()
    # All that TensorFlow and Keras loaded would be searched for garbage as the process ends, for a second and in vain.
    atexit.register(gc.freeze)
    try:
        with stopping.raising(last=True):
            _run(main, options_class)
    except (stopping.Stopped, KeyboardInterrupt) as stop:
        _end(stopping.EXIT_STATUS, (str(stop) or "interrupted") if last_word.is_ours() else "")
    except BrokenPipeError:  # such as of `| head`
        sys.stdout = None  # or Python would report the same error as it ends
        _end(1)
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        _end(stopping.exit_status(error), f"error: {message}", at_once=isinstance(error, BrokenClusterError))
    sys.exit(0)


def _run(main: Callable[[OptionsT], None], options_class: type[OptionsT]) -> None:
    flagfiles: list[Path] = []
    arguments = expand_flagfiles(sys.argv[1:], flagfiles, repeatable_flags(options_class))
    if _HELP & set(arguments):
        print(_help(sys.modules[main.__module__], options_class))
        return
    options = parse(_set_verbosity(arguments), options_class, verbose=True, flagfiles=flagfiles)
    require_one_path(sys.argv[1:], options_class)
    options.check_outputs()
    with console.speaking(True):
        if not options.takes_cluster and (note := cluster.unused_note()):
            console.warn(note)
        main(options)
    if sys.stdout:  # None if the process was started without
        sys.stdout.flush()


def _set_up_streams() -> None:
    """Lets results appear as soon as they are printed, also in a pipe, and whatever the terminal's encoding is."""
    for stream, errors in ((sys.stdout, "replace"), (sys.stderr, "backslashreplace")):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True, errors=errors)


def _end(status: int, message: str = "", *, at_once: bool = False) -> NoReturn:
    """Ends the process, with a message on stderr.

    Args:
        status: exit status.
        message: text of one line, or "".
        at_once: whether nothing is unloaded, since TensorFlow might wait for another worker as it is.
    """
    if message and sys.stderr:
        print(visible(message), file=sys.stderr)
    if at_once:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            with contextlib.suppress(OSError):  # nobody reads it
                stream.flush()
        os._exit(status)
    sys.exit(status)


def _help(module: ModuleType, options_class: type[Options]) -> str:
    name = module.__spec__.name if module.__spec__ else module.__name__
    return help_text(program_name(name, sys.argv[0]), module.__doc__ or "", options_class)


def _set_verbosity(arguments: list[str]) -> list[str]:
    """Sets the level of the libraries' log messages; returns the arguments without `--verbosity=N`."""
    rest, level = [], str(logging.ERROR)  # their log messages would hide the verb's output
    iterator = iter(arguments)
    for argument in iterator:
        name, equals, value = argument.partition("=")
        if name not in _VERBOSITY:
            rest.append(argument)
        else:
            level = value if equals else next(iterator, "")
    flags.FLAGS(["verb"])  # absl's logging, which TensorFlow and TFDS use, reads its own flags
    try:
        logging.set_verbosity(int(level))
    except ValueError:
        raise UserError(f"--verbosity={level} must be a whole number, such as 0") from None
    return rest


def shows_logs() -> bool:
    """Returns whether the user asked for the libraries' log messages (--verbosity=0 or higher)."""
    return logging.get_verbosity() >= logging.INFO


@contextlib.contextmanager
def loading_libraries() -> Iterator[None]:
    """Holds back what is written to stderr inside the context, unless an error ends it.

    TensorFlow's C++ code writes notes about the CPU and missing GPU drivers as it is loaded, before any setting of its
    log level applies. No garbage is collected inside the context, since what is loaded stays.

    Raises:
        UserError: Keras has another backend than TensorFlow.
    """
    require_tensorflow()
    with _without_collections(), _held_back_stderr():
        yield


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextlib.contextmanager
def _held_back_stderr() -> Iterator[None]:
    if shows_logs() or not _has_descriptor(sys.stderr):
        with stopping.ending_at_once(2):
            yield
        return
    sys.stderr.flush()
    stderr = os.dup(sys.stderr.fileno())
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), sys.stderr.fileno())
        try:
            with stopping.ending_at_once(stderr):
                yield
        except Exception:
            held_back.seek(0)
            os.write(stderr, held_back.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, sys.stderr.fileno())
            os.close(stderr)


@contextlib.contextmanager
def quiet_logs() -> Iterator[None]:
    """Holds back the libraries' warnings inside the context, such as those of TFDS about its own deprecated names."""
    tensorflow = standard_logging.getLogger("tensorflow")
    before, level = logging.get_verbosity(), tensorflow.level
    logging.set_verbosity(min(before, logging.ERROR))
    tensorflow.setLevel(standard_logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)
        tensorflow.setLevel(level)


def _has_descriptor(stream) -> bool:
    try:
        return stream.fileno() >= 0
    except (AttributeError, OSError, ValueError):  # a notebook's stream, or none
        return False
