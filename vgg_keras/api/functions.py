"""Offers the verbs as functions: the same options, results in place of text, silent unless asked."""

import inspect
import textwrap
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

from vgg_keras.tasks import evaluation, exporting, training
from vgg_keras.tasks.options import EvaluateOptions, ExportOptions
from vgg_keras.tasks.results import EvaluationResult, ExportResult, TrainingResult
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils import cli, console, help_text
from vgg_keras.utils.errors import UserError, did_you_mean, explain
from vgg_keras.utils.options import Options, flag_fields

P = ParamSpec("P")
OptionsT = TypeVar("OptionsT", bound=Options)
ResultT = TypeVar("ResultT")


def _takes_options(
    options_class: Callable[P, OptionsT],
) -> Callable[[Callable[[OptionsT], ResultT]], Callable[P, ResultT]]:
    """Turns a function of an options object into one that takes the options as keyword arguments.

    Its signature is that of the options, and its docstring lists them.

    Args:
        options_class: a subclass of `Options`.
    """

    def decorate(task: Callable[[OptionsT], ResultT]) -> Callable[P, ResultT]:
        def function(*args: P.args, **kwargs: P.kwargs) -> ResultT:
            _require_known(kwargs, options_class)  # type: ignore[arg-type]
            options = options_class(*args, **kwargs)
            options.check_outputs()
            try:
                with console.speaking(options.verbose), cli.quiet_logs():
                    result = task(options)
                    console.say(repr(result))
                    return result
            except Exception as error:
                message = explain(error)
                if message is None or isinstance(error, UserError):
                    raise
                raise UserError(message) from error

        signature = inspect.signature(options_class)
        function.__signature__ = signature.replace(  # type: ignore[attr-defined]
            return_annotation=inspect.signature(task).return_annotation
        )
        function.__name__, function.__qualname__ = task.__name__, task.__qualname__
        function.__module__ = task.__module__
        function.__doc__ = _with_arguments(inspect.getdoc(task) or "", options_class)  # type: ignore[arg-type]
        return function

    return decorate


def _require_known(given: Iterable[str], options_class: type[Options]) -> None:
    """Refuses names that are no options, with the option that was probably meant."""
    known = ["verbose", *(field.name for field in flag_fields(options_class))]
    for name in given:
        if name not in known:
            raise UserError(f"{name} is not an option{did_you_mean(name, known)}; help() lists them all")


def _with_arguments(docstring: str, options_class: type[Options]) -> str:
    """Inserts the section `Args` in front of the section `Returns` of a docstring."""
    lines = ["verbose: whether messages, tables and progress bars are shown."]
    for field in flag_fields(options_class):
        default = help_text.default_text(field)
        lines.append(f"{field.name}: {help_text.describe(field)}{f' [{default}]' if default else ''}.")
    before, returns, after = docstring.partition("Returns:")
    return f"{before}Args:\n{textwrap.indent(chr(10).join(lines), '    ')}\n\n{returns}{after}"


@_takes_options(TrainConfig)
def train_model(options: TrainConfig) -> TrainingResult:
    """Trains a net with the paper's procedure (arXiv:1409.1556, sect. 3.1), like the verb `vgg_keras.train`.

    >>> import vgg_keras as vgg
    >>> result = vgg.train_model(
    ...     dataset="drawn_flowers", output_dir="runs/drawn", net="A", width_multiplier=1 / 16, input_size=32,
    ...     train_scale="36", batch_size=25, epochs=1, optimizer="adam", learning_rate=1e-3)
    >>> result.best_model.name, len(result.history)
    ('best.keras', 1)

    Returns:
        The run's folder, best model, errors and history.

    Raises:
        UserError: an option, the data set or the run's folder cannot be used, or training failed.
    """
    return training.train_model(options)


@_takes_options(EvaluateOptions)
def evaluate_model(options: EvaluateOptions) -> EvaluationResult:
    """Tests models with the paper's protocol (arXiv:1409.1556, sect. 3.2 and 4), like the verb `vgg_keras.evaluate`.

    >>> import vgg_keras as vgg
    >>> result = vgg.evaluate_model(
    ...     model="runs/drawn", data_dir="runs/drawn/data", output_dir="evaluations/drawn", max_images=20)
    >>> 0 <= result.top1_error <= 100
    True

    Returns:
        The errors, and the record of everything that was measured.

    Raises:
        UserError: an option, the data set, a model or the evaluation's folder cannot be used.
    """
    return evaluation.evaluate_model(options)


@_takes_options(ExportOptions)
def export_model(options: ExportOptions) -> ExportResult:
    """Exports a trained model as a SavedModel, ONNX or TensorFlow Lite, like the verb `vgg_keras.export`.

    >>> import vgg_keras as vgg
    >>> result = vgg.export_model(model="runs/drawn", output_dir="saved_models/drawn")
    >>> str(result.folder)
    'saved_models/drawn/1'

    Returns:
        The exported version, and its agreement with the trained model.

    Raises:
        UserError: an option or the model cannot be used, or the exported model disagrees with the trained one.
    """
    return exporting.export_model(options)
