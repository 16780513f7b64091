"""Reads the flags of Apache Beam, and makes pipelines of them.

Only the process that runs Beam, `beam_job`, makes a pipeline.
"""

import contextlib
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from vgg_keras.utils.errors import UserError, did_you_mean, reason
from vgg_keras.utils.optional_imports import import_extra
from vgg_keras.utils.shell import flag

RUNNER, OPTIONS = "beam_runner", "beam_options"
# Beam's own choice for "DirectRunner" downloads a program of another runner where it can, which has none of the options
# for several processes. This one is part of Beam's Python package.
_DIRECT = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
_ALIASES = {"direct": _DIRECT, "directrunner": _DIRECT}
# Runners that send their options to a server, which may know more of them than the Python package.
_WITH_SERVER = ("flink", "spark", "portable", "prism", "kafka")
_NAMES = ("DirectRunner", "FlinkRunner", "SparkRunner", "DataflowRunner", "PortableRunner", "PrismRunner")


def as_arguments(options: str) -> list[str]:
    """Returns the text of --beam_options as Beam's command line, such as ["--direct_num_workers=2", "--streaming"].

    Args:
        options: options with commas between them, "direct_num_workers=2,streaming", as TFDS's `--beam_pipeline_options`
            takes them; or a JSON object, {"direct_num_workers": 2, "streaming": true}, whose values may hold commas,
            and be lists, for options that are given several times, and objects.

    Raises:
        UserError: the text is neither; or it names the runner.
    """
    given = list(_from_json(options) if options.lstrip().startswith("{") else _from_list(options))
    names = [argument[2:].partition("=")[0] for argument in given]
    if "runner" in names:
        raise UserError(f"{flag(OPTIONS, options)} names a runner: give it as --{RUNNER}")
    return given


def _from_list(options: str) -> Iterator[str]:
    for one in filter(None, map(str.strip, options.split(","))):
        if not re.match(r"(--)?[A-Za-z]\w*(=|$)", one):
            raise UserError(
                f"{flag(OPTIONS, options)}: {one!r} is no option; write name=value,name=value, or, if a value holds a "
                """comma, a JSON object such as {"name": "value"}"""
            )
        yield f"--{one.removeprefix('--')}"


def _from_json(options: str) -> Iterator[str]:
    try:
        values = json.loads(options)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{flag(OPTIONS, options)} begins as a JSON object, and is none: {error}") from None
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            if one is None or isinstance(one, list):
                raise UserError(
                    f"{flag(OPTIONS, options)}: {name} is {json.dumps(value)}, which is no value of an option"
                )
            yield from _argument(name, one)


def _argument(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, bool):  # Beam's switches are off if they are not given
        if value:
            yield f"--{name}"
    else:
        yield f"--{name}={value if isinstance(value, str) else json.dumps(value)}"


def new_pipeline(runner: str, options: str) -> Any:
    """Returns an empty `apache_beam.Pipeline`.

    Args:
        runner: name of a runner, or its class with its module.
        options: text of --beam_options.

    Raises:
        UserError: Apache Beam is not installed, or does not know or accept the runner or an option.
    """
    given = as_arguments(options)
    beam, module = import_extra(["apache_beam", "apache_beam.options.pipeline_options"], "beam", flag(RUNNER, runner))
    try:
        # Beam writes what it thinks of arguments to stderr, and ends the process.
        with contextlib.redirect_stderr(io.StringIO()) as said:
            parsed = module.PipelineOptions(given)
            values = parsed.get_all_options(retain_unknown_options=True)
    except SystemExit:
        complaint = said.getvalue().strip().rpartition("error: ")[2]
        raise UserError(f"{flag(OPTIONS, options)}: {complaint}") from None
    known = module.PipelineOptions([]).get_all_options()
    unknown = sorted(values.keys() - known.keys())
    if unknown and not any(name in runner.lower() for name in _WITH_SERVER):
        hint = did_you_mean(unknown[0], known)
        raise UserError(f"{flag(OPTIONS, options)}: {unknown[0]} is no option of Apache Beam {beam.__version__}{hint}")
    try:
        return beam.Pipeline(_ALIASES.get(runner.lower(), runner), parsed)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UserError(f"{flag(RUNNER, runner)}: {_complaint(error, runner)}") from error


def _complaint(error: Exception, runner: str) -> str:
    if "Unexpected pipeline runner" in str(error):
        return f"no such runner{did_you_mean(runner, _NAMES)}; those of Apache Beam are {', '.join(_NAMES)}"
    if isinstance(error, ValueError):  # several lines: a heading, and what is missing or wrong
        return " ".join(str(error).split())
    return reason(error)
