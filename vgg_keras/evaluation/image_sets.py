"""Gathers results on the same images, and finds out what they are of in the terms of the paper's tables.

Needs no TensorFlow.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from vgg_keras.evaluation import published, tables
from vgg_keras.evaluation.mistakes import SAME_IMAGES, FinishedResults, MarkedResult
from vgg_keras.evaluation.published import RowKey, ScaleLadder
from vgg_keras.evaluation.published_boxes import BoxKey, box_key
from vgg_keras.models.architectures import LOCALIZATION
from vgg_keras.utils.words import counted


class ImageSet:
    """Results on the same images.

    Args:
        evaluations: the evaluations, one or more, the oldest first; of several results of the same the last is kept.

    Attributes:
        title: name of the data set, split and number of images.
        data_note: warning that the errors are not comparable with the paper's, or "".
        num_classes: number of classes.
        ladder: the paper's training scales whose part those of the nets play.
        tasks: what was tested, of `architectures.TASKS`.
        results: newest result of each net, or of each fusion, by each way of testing.
        located: the same of localisers.
        left_out: number of results with the views of a row that were tested otherwise than in the paper, by how.
    """

    def __init__(self, evaluations: Sequence[FinishedResults]):
        images = evaluations[0].images
        self.title = f"{images['data_set']}, {images['split']}: {counted(images['num_images'], 'image')}"
        self.data_note, self.num_classes = tables.data_note(dict(images)), images["num_classes"]
        self.tasks = {evaluation.task for evaluation in evaluations}
        found = [(evaluation.task, result) for evaluation in evaluations for result in evaluation.results]
        self.ladder = ScaleLadder.of(scale for _, result in found for scale in result.record["train_scales"])
        self.results: dict[RowKey, MarkedResult] = {}
        self.located: dict[BoxKey, MarkedResult] = {}
        self.left_out: Counter[str] = Counter()
        for task, result in found:
            (self._add_located if task == LOCALIZATION else self._add)(result)

    def _add_located(self, result: MarkedResult) -> None:
        record = dict(result.record)
        nets, kinds = tables.trained_nets(record), record["box_regressions"]
        key = box_key(self.ladder, nets, kinds, record["test_scales"], record["method"])
        if key:
            self.located[key] = result

    def _add(self, result: MarkedResult) -> None:
        record = dict(result.record)
        key = self.ladder.row_key(tables.trained_nets(record), record["method"], record["test_scales"])
        how = published.protocol_differences(record["method"], flip=record["flip"], average=record["average"])
        if key and not how:
            self.results[key] = result
        elif key in {row.key for row in published.PUBLISHED}:
            self.left_out[", ".join(how)] += 1

    def notes(self) -> list[str]:
        """Returns what readers of the tables have to know: other images, other scales, results that are not there."""
        roles = ", ".join(
            f"S = {tables.format_train_scale(ours)} stands for {tables.format_train_scale(papers)}"
            for ours, papers in self.ladder.roles.items()
        )
        scales = "" if self.ladder.exact or not roles else f"In the place of the paper's training scales: {roles}."
        counts = "; ".join(f"{number:,} with {how}" for how, number in self.left_out.items())
        others = f"Not in the tables, since the paper tests otherwise: {counts}." if counts else ""
        return [note for note in (self.data_note, scales, others) if note]


def group(evaluations: Iterable[FinishedResults]) -> list[ImageSet]:
    """Groups evaluations by the images on which they were measured.

    Args:
        evaluations: the evaluations, the oldest first.
    """
    by_images: dict[str, list[FinishedResults]] = {}
    for evaluation in evaluations:
        by_images.setdefault(evaluation.images[SAME_IMAGES], []).append(evaluation)
    return list(map(ImageSet, by_images.values()))
