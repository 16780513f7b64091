"""Tests localizers with the two protocols of arXiv:1409.1556, app. A.2."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from vgg_keras.data import datasets
from vgg_keras.data.boxed_split import BoxedSplit
from vgg_keras.evaluation import box_report, comparison, layout, mistakes, saved_posteriors, tables
from vgg_keras.evaluation.box_evaluator import BoxEvaluator, Locator, method_of, require_same_classes, require_testable
from vgg_keras.evaluation.box_highlights import BoxHighlights, BoxTest
from vgg_keras.evaluation.box_results import BoxResult, ChosenClasses
from vgg_keras.evaluation.records import known_classifiers
from vgg_keras.evaluation.saved_boxes import SavedBoxes
from vgg_keras.inference.loading import own_method
from vgg_keras.inference.localizer import Localizer
from vgg_keras.inference.protocol import CENTER_CROP, CROP_AND_SQUASH, DENSE, OWN, TestProtocol
from vgg_keras.models.architectures import LOCALIZATION
from vgg_keras.models.preparation import SQUASH
from vgg_keras.reports import pages
from vgg_keras.tasks.class_choice import Classifiers, open_classifiers
from vgg_keras.tasks.evaluation_folder import opened, saved_files, written_record
from vgg_keras.tasks.options import EvaluateOptions
from vgg_keras.tasks.results import EvaluationResult
from vgg_keras.tasks.tested_models import compared_model
from vgg_keras.utils import files, keras_compat, paths, side_files
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.teamwork import Team


def choose_method(options: EvaluateOptions, saved: Mapping[Path, SavedBoxes]) -> str:
    """Returns the method of the flags, or the localizers' own: SQUASH if they were validated so, else DENSE.

    Saved boxes alone tell the method by which they were computed, which is CROP_AND_SQUASH if some are of either.

    Args:
        options: flags of the verb.
        saved: the files of saved boxes among the models.

    Raises:
        UserError: a model is missing or damaged, or the methods differ.
    """
    nets = [path for path in options.model_paths() if path not in saved]
    by_method = {boxes.info["method"]: path for path, boxes in saved.items()}
    if len(by_method) > 1:
        held = " and ".join(f"{path} ({method})" for method, path in by_method.items())
        held += " hold boxes of different methods, which are"
        if set(by_method) != {CENTER_CROP, SQUASH}:
            raise UserError(
                f"{held} not merged, unless they are {CENTER_CROP} and {SQUASH}; compute them with one --method"
            )
        if nets:
            raise UserError(
                f"{held} merged from files alone; test --model={nets[0]} for itself with --save_posteriors, and name "
                "its file in its place"
            )
        if options.method != OWN:
            raise UserError(f"{held} merged without --method={options.method}; leave it out")
        return CROP_AND_SQUASH
    if options.method != OWN:
        return options.method
    if nets:
        return TestProtocol(OWN).of_models({path: own_method(path) for path in nets}).method
    return next(iter(by_method))


def describe(
    options: EvaluateOptions, method: str, models: Sequence[Locator], classifiers: Classifiers, split: BoxedSplit
) -> dict:
    """Returns a JSON-ready description of an evaluation by a method: everything that its results depend on."""
    protocol = classifiers.protocol
    # In the dense test, mirror images help to choose the classes, and the boxes are those of the image as it is.
    flip = protocol.flips() if method == DENSE else bool(options.flip)
    settings = {"task": LOCALIZATION, "method": method, "flip": flip, "average": protocol.average}
    identities = classifiers.identities()
    first = models[0]
    if isinstance(first, SavedBoxes) and not identities:
        _require_settings_of(first, options)
        settings, identities = {**first.info["settings"], "method": method}, list(first.info["classifiers"])
    described = [{"path": str(model.path), **model.identity()} for model in models]
    if method == CROP_AND_SQUASH:  # else the settings tell it
        for one, model in zip(described, models, strict=True):
            one["method"] = method_of(model, method)
    return {"settings": settings, "images": split.identity(), "models": described, "classifiers": identities}


def _require_settings_of(saved: SavedBoxes, options: EvaluateOptions) -> None:
    """Checks that no flag asks for other boxes than those that a file holds.

    Raises:
        UserError: --flip or --average does.
    """
    asked = {"flip": options.flip, **({"average": options.average} if options.changed(("average",)) else {})}
    for name, value in asked.items():
        if value is not None and value != saved.info["settings"].get(name):
            raise UserError(
                f"--{name}={value} is not how the boxes in {saved.path} were computed; leave it out, or compute them so"
            )


def _require_same_classifiers(models: Sequence[Locator], description: dict) -> None:
    """Checks that the boxes of all localizers are of classes that the same classifiers chose and scored.

    Raises:
        UserError: saved boxes are of others.
    """
    wanted = description["settings"]
    for model in models:
        if not isinstance(model, SavedBoxes):
            continue
        found = model.info["settings"]
        for name in ("flip", "average"):
            if found[name] != wanted[name]:
                raise UserError(
                    f"{model.path} was computed with {name} = {found[name]}, the boxes of the other localizers with "
                    f"{wanted[name]}; compute them alike"
                )
        if known_classifiers(model.info["classifiers"]) != known_classifiers(description["classifiers"]):
            raise UserError(
                f"{model.path} holds boxes of {_choice(model.info['classifiers'])}, the other localizers' are of "
                f"{_choice(description['classifiers'])}; compute them with the same --classifier, or all without"
            )


def _choice(classifiers: Sequence[dict]) -> str:
    """Returns in words whose classes boxes are of."""
    named = " and ".join(str(one["path"]) for one in classifiers)
    return f"classes that {named} chose" if named else "the true class"


def _require_different(models: Sequence[Locator], method: str) -> None:
    """Checks that no localizer is merged with itself, which would count its boxes twice.

    Args:
        models: the localizers, and saved boxes of some.
        method: how the localizers are tested.

    Raises:
        UserError: a file of boxes is given twice, or a localizer by the same method at the same test scale.
    """
    seen: dict[tuple, Path] = {}
    for model in models:
        identities = [(model.identity()["sha256"], side, method_of(model, method)) for side in model.test_scales]
        for identity in identities:
            if identity in seen:
                raise UserError(
                    f"--model={model.path} is the localizer of --model={seen[identity]}, and both have boxes at "
                    f"Q = {identity[1]}, which would be counted twice: leave one out"
                )
        seen |= dict.fromkeys(identities, model.path)


def run_models(
    evaluator: BoxEvaluator,
    models: Sequence[Locator],
    chosen: ChosenClasses,
    description: dict,
    saved: Mapping[int, Path],
) -> list[BoxResult]:
    """Tests each localizer, and then the boxes of all together.

    Args:
        evaluator: evaluator of the images.
        models: the localizers.
        chosen: the classes on each image.
        description: what `describe` returned.
        saved: the files in which the boxes of localizers are to be kept, by the localizers' indices.

    Raises:
        UserError: a record or a localizer cannot be used, or memory ran out.
    """
    found, parts = [], []
    for index, model in enumerate(models):
        results, by_scale = evaluator.test(model, index)
        found += results
        parts.append((model, by_scale))
        if index in saved:
            info = {key: description[key] for key in ("settings", "images", "classifiers")}
            info |= {"model": model.identity(), "method": description["settings"]["method"]}
            SavedBoxes(saved[index], chosen, by_scale, info).save()
    return [*found, *([evaluator.fuse(parts)] if len(models) > 1 else [])]


def evaluate_localizers(options: EvaluateOptions, team: Team) -> EvaluationResult:
    """Opens the data and the models, tests the localizers, and writes the results; goes on with what was stopped.

    Args:
        options: flags of the verb.
        team: the workers that share the images; the chief writes the results.

    Raises:
        UserError: the data, a model or a folder cannot be used, or memory ran out.
    """
    of_files = {path: SavedBoxes.load(path) for path in options.model_paths() if saved_posteriors.is_saved(path)}
    method = choose_method(options, of_files)
    # Of saved boxes of two methods, the flag names neither.
    options = dataclasses.replace(options, method=OWN if method == CROP_AND_SQUASH else method)
    folder, protocol = Path(options.output_dir), TestProtocol(method, str(options.test_scales))
    data = datasets.open_data(options.data_dir, options.dataset)
    data.require_split(options.split)
    data.require_boxes()
    for boxes in of_files.values():
        boxes.require_protocol(protocol)
    models: list[Locator] = [
        of_files[path] if path in of_files else Localizer.load(path, protocol, data.class_names)
        for path in options.model_paths()
    ]
    classifiers = open_classifiers(options, models, data.class_names)
    saved = saved_files(options, "boxes", [isinstance(model, SavedBoxes) for model in models])
    paths.require_separate([("output_dir", path) for path in saved.values()], options.input_files())
    split = BoxedSplit.read(data, options.split, options.max_images)
    if options.compare and team.chief:  # before the work begins
        if compared_model(options):
            raise UserError(
                f"--compare={options.compare} is a model, and localizers are compared by evaluations: test it with "
                "another --output_dir, and name that folder"
            )
        comparison.load_marked(Path(options.compare)).require_comparable(LOCALIZATION, split.identity())
    _require_different(models, method)
    scorer = classifiers.net if method == DENSE else None
    for model in models:
        require_testable(model, split, method, scorer, options.batch_size)
    classifiers.check(split)
    description = describe(options, method, models, classifiers, split)
    _require_same_classifiers(models, description)
    at_hand = _classes_at_hand(method, models, classifiers, split)
    if at_hand:
        _require_same_classes(models, at_hand)
    names = [layout.BOXES, layout.BOXED_PHOTOS, *(path.name for path in saved.values())]
    with opened(folder, description, team, names) as finished:
        if finished:
            return EvaluationResult(folder, finished, resumed=True, chief=team.chief)
        partial = folder / layout.PARTIAL
        chosen = at_hand or classifiers.choose_by_net(split, partial / "classes", team)
        assert chosen  # `open_classifiers` saw to it that there is a net if the classes are not at hand
        _require_same_classes(models, chosen)
        flip = method != DENSE and description["settings"]["flip"]
        evaluator = BoxEvaluator(split, method, chosen, scorer, partial, flip=flip, team=team)
        found = run_models(evaluator, models, chosen, description, saved if team.chief else {})
        write = functools.partial(_write_results, folder, description, found, chosen, split)
        return EvaluationResult(folder, written_record(folder, write, team), chief=team.chief, shares=team.summary())


def _write_results(
    folder: Path, description: dict, found: Sequence[BoxResult], chosen: ChosenClasses, split: BoxedSplit
) -> dict:
    """Writes boxes, mistakes, report and record into the folder; returns the record."""
    versions = keras_compat.package_versions()
    record = {**description, "versions": versions, "results": [result.record() for result in found]}
    mistakes.save(folder, [result.wrong for result in found])
    test = BoxTest(found[-1], chosen, split)
    shown = BoxHighlights.of(test)
    box_report.write(folder, record, test, shown)
    files.write_text(folder / layout.PAGE, pages.of_localization(record, shown).render())
    # The record is written last: it marks the evaluation as complete.
    side_files.write_json(folder / tables.RECORD, record)
    return record


def _classes_at_hand(
    method: str, models: Sequence[Locator], classifiers: Classifiers, split: BoxedSplit
) -> ChosenClasses | None:
    """Returns the classes on each image if no net has to choose them: the known one, or those that a file tells."""
    first = models[0]
    if method != CENTER_CROP and isinstance(first, SavedBoxes) and not classifiers.net:
        return first.chosen
    if method == CENTER_CROP or (method == SQUASH and not classifiers.identities()):
        return ChosenClasses.known(split.manifest.labels)
    return classifiers.choose_by_saved()


def _require_same_classes(models: Sequence[Locator], chosen: ChosenClasses) -> None:
    for model in models:
        if isinstance(model, SavedBoxes):
            require_same_classes(model, chosen)
