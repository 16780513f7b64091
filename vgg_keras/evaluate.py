"""Tests models as arXiv:1409.1556, sect. 3.2, does.

python -m vgg_keras.evaluate --model=runs/quickstart --data_dir=runs/quickstart/data --output_dir=evaluations/quickstart
python -m vgg_keras.evaluate --flagfile=configs/tables/table5_vgg16_256_512_both.cfg
"""

import csv
import dataclasses
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vgg_keras.data import datasets
from vgg_keras.evaluation import markdown_report, published, results
from vgg_keras.evaluation.evaluator import Evaluator, ImagesUnderTest, Result, Timed, saved_posteriors
from vgg_keras.inference import loading
from vgg_keras.inference.loading import ModelUnderTest, Protocol
from vgg_keras.inference.posteriors import AVERAGES, SCORES
from vgg_keras.inference.views import Survey
from vgg_keras.training import run_dir
from vgg_keras.utils import cli, devices
from vgg_keras.utils.cli import UserError, option

# While an evaluation lasts: what it is, and the posteriors of its passes.
_PARTIAL = "partial"
_SETTINGS = "settings.json"
_PREDICTIONS = "predictions.csv"


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Flags of `vgg_keras.evaluate`."""

    model: tuple[str, ...] = option(
        (), "a .keras file, a run's folder, or saved posteriors (.npz); again for each model to fuse", required=True
    )
    method: str = option(
        published.DENSE, "how images are looked at; both: dense and multi_crop", choices=published.METHODS
    )
    test_scales: str = option(
        "", "Q,...: smallest sides of test images; single or multi: the paper's for the training scale; empty: single"
    )
    flip: bool | None = option(None, "average each view with its mirror image; None: all but the centre crop")
    average: str = option(SCORES, "what is averaged over the class-score map", choices=AVERAGES)
    data_dir: str = option("", "a data set written by data_prep, or TFDS's root folder where --dataset names one there")
    dataset: str = option("", "a TFDS data set by name, such as tf_flowers")
    split: str = option("validation", "the split that is tested")
    max_images: int = option(0, "test only the first so many images; 0: all", lower=0)
    output_dir: str = option("", "the evaluation's folder; one that was killed goes on there", required=True)
    save_posteriors: bool = option(False, "keep each model's posteriors as .npz, to be fused later")
    batch_size: int = option(32, "crops at a time; whole images as many as have the same number of pixels", lower=1)
    strategy: str = option(
        "auto", "how the work is spread over devices", choices=("auto", "one_device", "mirrored")
    )  # fmt: skip
    cpu_devices: int = option(1, "present the CPU as so many devices, to try --strategy=mirrored", lower=1)

    def protocol(self) -> Protocol:
        """Returns how models are tested."""
        return Protocol(self.method, self.test_scales, self.flip, self.average)


def identity(models: Sequence[ModelUnderTest], images: ImagesUnderTest, protocol: Protocol) -> dict:
    """Returns what the result depends on, as JSON has it."""
    settings = {"method": protocol.method, "flip": protocol.flips(), "average": protocol.average}
    return {
        "settings": settings,
        "images": images.identity(),
        "models": [{"path": str(model.path), **model.identity()} for model in models],
    }


def claim(folder: Path, wanted: dict) -> dict | None:
    """Makes the evaluation's folder, or finds the same evaluation there.

    Returns:
        Its record, if it is finished.

    Raises:
        UserError: the folder holds another evaluation.
    """

    def place_free(content: dict) -> dict:
        models = [{key: value for key, value in model.items() if key != "path"} for model in content["models"]]
        return {**{key: content[key] for key in ("settings", "images")}, "models": models}

    finished, begun = folder / results.RECORD, folder / _PARTIAL / _SETTINGS
    for place in (finished, begun):
        if place.exists():
            found = json.loads(place.read_text(encoding="utf-8"))
            if place_free(found) != place_free(wanted):
                raise UserError(f"{folder} holds another evaluation ({place}); choose another --output_dir")
            return found if place == finished else None
    begun.parent.mkdir(parents=True, exist_ok=True)
    run_dir.write_text(begun, json.dumps(wanted, indent=2) + "\n")
    return None


def run_models(
    evaluator: Evaluator, models: Sequence[ModelUnderTest], images: ImagesUnderTest, flags: EvaluateOptions
) -> tuple[list[Result], np.ndarray]:
    """Tests each model, then all together; returns the results and the posteriors of the last one."""
    found, sums = [], {}
    for place, model in enumerate(models):
        of_model, by_method = evaluator.test(model, place)
        found += of_model
        if flags.save_posteriors and model.saved is None:
            name = "posteriors.npz" if len(models) == 1 else f"posteriors_{place + 1}.npz"
            saved = saved_posteriors(model, images, flags.protocol(), by_method)
            saved.save(Path(flags.output_dir) / name)
        for method, timed in by_method.items():
            sums.setdefault(method, []).append(timed)
    fused = {method: Timed.mean(parts) for method, parts in sums.items()}
    if len(models) > 1:
        found += evaluator.fuse(models, fused)
    return found, Timed.mean(list(fused.values())).posteriors


def predictions(posteriors: np.ndarray, images: ImagesUnderTest) -> str:
    """Returns a line for each image as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("index", "file", "label", "predicted", "posterior_of_label", "posterior_of_predicted"))
    names, survey = images.data.label_names, images.survey
    for index, (file, label, row) in enumerate(zip(survey.names, survey.labels, posteriors, strict=True)):
        given = row.argmax()
        writer.writerow((index, file, names[label], names[given], f"{row[label]:.6g}", f"{row[given]:.6g}"))
    return text.getvalue()


def show(record: dict, folder: Path) -> None:
    """Prints the table and where the rest is."""
    images = record["images"]
    title = f"{images['data_set']}, {images['split']}: {images['num_images']:,} images"
    results.print_table(title, results.COLUMNS, map(results.row, record["results"]))
    note = results.data_note(images)
    if note:
        print(note)
    print(f"numbers: {folder / results.RECORD}; report: {folder / markdown_report.REPORT}")


def main(flags: EvaluateOptions) -> None:
    """Tests, reports, and removes what was only for a resumption."""
    folder, protocol = Path(flags.output_dir), flags.protocol()
    if flags.cpu_devices > 1:
        devices.split_cpu(flags.cpu_devices)
    strategy, strategy_reason = devices.make_strategy(flags.strategy, one_process=True)
    data = datasets.open_data(flags.data_dir, flags.dataset)
    data.num_images(flags.split)
    models = [loading.inspect(path, protocol, data.class_names) for path in flags.model]
    images = ImagesUnderTest(data, flags.split, Survey.of(data, flags.split, flags.max_images))
    evaluator = Evaluator(images, protocol, folder / _PARTIAL, strategy, flags.batch_size)
    for model in models:
        evaluator.check(model)
    wanted = identity(models, images, protocol)
    finished = claim(folder, wanted)
    if finished:
        unsaved = any(model.saved is None for model in models) and not list(folder.glob("posteriors*.npz"))
        if flags.save_posteriors and unsaved:
            raise UserError(f"{folder} holds this evaluation without its posteriors; choose another --output_dir")
        shutil.rmtree(folder / _PARTIAL, ignore_errors=True)  # of a process that was killed as it finished
        print(f"{folder} holds this evaluation already")
        show(finished, folder)
        return
    found, posteriors = run_models(evaluator, models, images, flags)
    record = {
        **wanted,
        "versions": run_dir.versions(),
        "devices": f"{type(strategy).__name__} ({strategy_reason})",
        "results": [results.result_record(result) for result in found],
        "classes": results.class_records(posteriors, images),
        "confusions": results.confusions(posteriors, images.survey.labels),
    }
    run_dir.write_text(folder / _PREDICTIONS, predictions(posteriors, images))
    markdown_report.write(markdown_report.Finished(record, posteriors, images, models), folder)
    # Last: a folder with this file holds a whole evaluation.
    run_dir.write_text(folder / results.RECORD, json.dumps(record, indent=2) + "\n")
    shutil.rmtree(folder / _PARTIAL)
    show(record, folder)


if __name__ == "__main__":
    cli.run(main, EvaluateOptions)
