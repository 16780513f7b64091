"""Gathers results on the same images, and finds out what they are of in the terms of the paper's tables.

Needs no TensorFlow.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vgg_keras.evaluation import published, tables
from vgg_keras.evaluation.classifier_names import classifiers_of, name_classifiers
from vgg_keras.evaluation.mistakes import FinishedResults, MarkedResult
from vgg_keras.evaluation.published import RowKey, ScaleLadder
from vgg_keras.evaluation.published_boxes import PUBLISHED_BOXES, BoxKey, box_key
from vgg_keras.evaluation.records import SAME_BOXES, SAME_IMAGES
from vgg_keras.models.architectures import LOCALIZATION
from vgg_keras.utils.words import counted


class ImageSet:
    """Results on the same images.

    Each result is either in a row of the paper's, or one of the others.

    Args:
        evaluations: the evaluations, one or more, the oldest first; of several results of the same nets, scales and
            way of testing the last is kept.

    Attributes:
        title: name of the data set, split and number of images.
        data_note: warning that the errors are not comparable with the paper's, or "".
        num_classes: number of classes.
        ladder: the paper's training scales whose part those of the nets play.
        tasks: what was tested, of `architectures.TASKS`.
        results: newest result of each net, or of each fusion, by each way of testing, tested as in the paper.
        located: the same of localizers.
        others: results that are in no row of the paper's, of each of the tasks, the oldest first.
        classifiers: names of the classifiers that chose the classes for localizers, if these had different ones.
        num_older: number of results that were not kept.
    """

    def __init__(self, evaluations: Sequence[FinishedResults]):
        images = evaluations[0].images
        self.title = f"{images['data_set']}, {images['split']}: {counted(images['num_images'], 'image')}"
        self.data_note, self.num_classes = tables.data_note(dict(images)), images["num_classes"]
        self.tasks = {evaluation.task for evaluation in evaluations}
        found = [(evaluation.task, result) for evaluation in evaluations for result in evaluation.results]
        self.ladder = ScaleLadder.of(scale for _, result in found for scale in result.record["train_scales"])
        kept = _newest(found)
        self.num_older = len(found) - len(kept)
        self.classifiers = name_classifiers(result.record for task, result in kept if task == LOCALIZATION)
        self.results: dict[RowKey, MarkedResult] = {}
        self.located: dict[BoxKey, MarkedResult] = {}
        for task, result in kept:
            (self._add_located if task == LOCALIZATION else self._add)(result)
        rows = [self.results.get(row.key) for row in published.PUBLISHED]
        rows += [self.located.get(row.key) for row in PUBLISHED_BOXES if row.key]
        in_rows = {id(result) for result in rows if result}
        self._shows_papers = self.ladder.exact or bool(in_rows)
        self.others = {
            task: [result for of_task, result in kept if of_task == task and id(result) not in in_rows]
            for task in self.tasks
        }

    def _add_located(self, result: MarkedResult) -> None:
        record = dict(result.record)
        nets, kinds = tables.trained_nets(record), record["box_regressions"]
        key = box_key(self.ladder, nets, kinds, record["test_scales"], record["method"], flip=record["flip"])
        if key:
            self.located[key] = result

    def _add(self, result: MarkedResult) -> None:
        record = dict(result.record)
        key = self.ladder.row_key(tables.trained_nets(record), record["method"], record["test_scales"])
        how = published.protocol_differences(record["method"], flip=record["flip"], average=record["average"])
        if key and not how:
            self.results[key] = result

    def notes(self) -> list[str]:
        """Returns what readers of the tables have to know: other images, other scales, results that are left out.

        What the paper's figures are of is told if there are any.
        """
        roles = ", ".join(
            f"S = {tables.format_train_scale(ours)} stands for {tables.format_train_scale(papers)}"
            for ours, papers in self.ladder.roles.items()
        )
        scales = "" if self.ladder.exact or not roles else f"In the place of the paper's training scales: {roles}."
        left_out = (
            "Of several results of the same nets, tested in the same way, the newest is shown; "
            f"left out: {self.num_older:,} older."
        )
        papers = (self.data_note, scales) if self._shows_papers else ()
        return [note for note in (*papers, left_out if self.num_older else "") if note]


def _newest(found: Iterable[tuple[str, MarkedResult]]) -> list[tuple[str, MarkedResult]]:
    """Returns the last of several results of the same nets, scales and way of testing, in the order of what is kept.

    Args:
        found: tasks and results, the oldest first.
    """
    kept: dict[Any, tuple[str, MarkedResult]] = {}
    for task, result in found:
        tested = (task, *_tested(result.record))
        kept.pop(tested, None)  # so that the newer one takes its own place in the order
        kept[tested] = (task, result)
    return list(kept.values())


def _tested(record: Mapping[str, Any]) -> tuple:
    """Returns what a result is of, and how it was tested, whatever the order of the nets and of the scales."""
    nets = tables.trained_nets(dict(record))
    kinds = record.get("box_regressions") or [""] * len(nets)
    methods = record.get("methods") or [record["method"]] * len(nets)
    of_nets = zip(map(dataclasses.astuple, nets), kinds, methods, map(sorted, record["test_scales"]), strict=True)
    key = tuple(sorted((*described, tuple(scales)) for *described, scales in of_nets))
    return key, record["method"], record["flip"], record["average"], classifiers_of(record)


def group(evaluations: Iterable[FinishedResults]) -> list[ImageSet]:
    """Groups evaluations by the images on which they were measured, and those of localizers by the boxes on them.

    Args:
        evaluations: the evaluations, the oldest first.
    """
    first_boxes: dict[str, str] = {}
    by_images: dict[tuple[str, str | None], list[FinishedResults]] = {}
    for evaluation in evaluations:
        images, boxes = evaluation.images[SAME_IMAGES], evaluation.images.get(SAME_BOXES)
        # Classifiers stand together with the localizers of the first boxes.
        if boxes is not None and first_boxes.setdefault(images, boxes) == boxes:
            boxes = None
        by_images.setdefault((images, boxes), []).append(evaluation)
    return list(map(ImageSet, by_images.values()))
