"""Opens the classifiers of a test of localizers, and chooses the classes on each image (arXiv:1409.1556, app. A.2)."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from vgg_keras.data.boxed_split import BoxedSplit
from vgg_keras.evaluation import saved_posteriors
from vgg_keras.evaluation.box_evaluator import Locator
from vgg_keras.evaluation.box_results import ChosenClasses
from vgg_keras.evaluation.evaluator import Evaluator, TimedPosteriors
from vgg_keras.evaluation.saved_posteriors import SavedPosteriors
from vgg_keras.inference.loading import EvaluatedModel, load_for_inference, own_method
from vgg_keras.inference.localizer import Localizer
from vgg_keras.inference.protocol import CENTER_CROP, DENSE, TestProtocol
from vgg_keras.models.preparation import SQUASH
from vgg_keras.tasks.options import EvaluateOptions
from vgg_keras.utils import console
from vgg_keras.utils.display import TOP_K
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.teamwork import Team


@dataclasses.dataclass(frozen=True)
class Classifiers:
    """What chooses the classes on each image, and scores the boxes of their objects.

    Attributes:
        net: the classifier that scores boxes, and chooses the classes if no posteriors are given; None: the boxes are
            scored already, or the classes are known.
        saved: saved posteriors of other evaluations, the mean of which chooses the classes.
        protocol: how the net is tested for the choice.
        settings: JSON-ready description of the protocol, where the settings of the evaluation are those of the boxes.
    """

    net: EvaluatedModel | None
    saved: Sequence[SavedPosteriors]
    protocol: TestProtocol
    settings: Mapping[str, Any]

    def identities(self) -> list[dict]:
        """Returns a JSON-ready description of each, with how it was tested."""
        described = [{"path": str(model.path), **model.identity(), **model.settings()} for model in self.saved]
        if self.net:
            described.insert(0, {"path": str(self.net.path), **self.net.identity(), **self.settings})
        return described

    def check(self, split: BoxedSplit) -> None:
        """Checks, before anything is written, what would otherwise fail in the middle of the choice.

        Raises:
            UserError: saved posteriors are of other images, or an image would not fit into memory.
        """
        evaluator = self._evaluator(split, Path())
        for model in self.saved or filter(None, [self.net]):
            evaluator.check(model)

    def choose_by_saved(self) -> ChosenClasses | None:
        """Returns the likeliest classes on each image by the saved posteriors, or None if there are none."""
        return _likeliest([np.mean(list(saved.by_method.values()), axis=0) for saved in self.saved])

    def choose_by_net(self, split: BoxedSplit, folder: Path, team: Team) -> ChosenClasses | None:
        """Returns the likeliest classes on each image by the net, which is shown all of them; None if there is none.

        Args:
            split: the images.
            folder: folder in which the net's posteriors are kept until the evaluation is finished.
            team: the workers that share the images.

        Raises:
            UserError: a record cannot be read, or memory ran out.
        """
        if not self.net:
            return None
        by_method = self._evaluator(split, folder, team).test(self.net, 0)[1]
        return _likeliest([timed.posteriors for timed in by_method.values()])

    def _evaluator(self, split: BoxedSplit, folder: Path, team: Team | None = None) -> Evaluator:
        # Batches of one image: a row does not depend on which others are still missing.
        return Evaluator(split.manifest, self.protocol, folder, tf.distribute.get_strategy(), 1, team)


def _likeliest(parts: Sequence[np.ndarray]) -> ChosenClasses | None:
    """Returns the classes with the highest means of posteriors, (N, classes) each, at most five; None without any."""
    if not parts:
        return None
    posteriors = TimedPosteriors.mean([TimedPosteriors(part, 0.0) for part in parts]).posteriors
    return ChosenClasses.best(posteriors, min(TOP_K, posteriors.shape[1]))


def _protocol(options: EvaluateOptions) -> TestProtocol:
    """Returns how a net is tested that chooses the classes.

    Beside a localizer that is shown squashed images, it is tested as it was validated, since it scores no boxes.

    Raises:
        UserError: the net is missing or damaged.
    """
    if options.method != SQUASH:
        return TestProtocol(DENSE, "", options.flip, options.average)
    nets = [path for path in options.classifier_paths() if not saved_posteriors.is_saved(path)]
    # --flip is for the boxes, as at the centre crop; --noflip is for both.
    flip = False if options.flip is False else None
    return TestProtocol(own_method(nets[0]) if nets else DENSE, "", flip, options.average)


def open_classifiers(options: EvaluateOptions, models: Sequence[Locator], class_names: Sequence[str]) -> Classifiers:
    """Loads the classifiers of --classifier: one net, and any number of saved posteriors.

    Raises:
        UserError: one is missing or damaged, no net is named, or more than one, or none is needed.
    """
    protocol = _protocol(options)
    nets, saved = [], []
    for path in options.classifier_paths():
        if saved_posteriors.is_saved(path):
            saved.append(SavedPosteriors.load(path))
        else:
            nets.append(load_for_inference(path, protocol, class_names, scores_boxes=True))
    computed = any(isinstance(model, Localizer) for model in models)
    scored = options.method == DENSE and computed
    if scored and not options.classifier:
        raise UserError(
            f"--method={DENSE} takes the classes from a classifier; name one with --classifier, or choose "
            f"--method={CENTER_CROP}, for which the class is known"
        )
    if len(nets) > 1 or (scored and not nets):
        raise UserError(
            f"--classifier names {len(nets)} nets; one net chooses the classes and, in the dense test, scores the "
            "boxes; saved posteriors beside it (.npz) may choose the classes"
        )
    if options.classifier and not computed:
        raise UserError("--classifier is not needed: saved boxes hold their classes and scores; leave it out")
    if options.method == SQUASH and nets and saved:
        raise UserError(
            f"--classifier={nets[0].path} has nothing to do: the saved posteriors choose the classes, and boxes of "
            "squashed photos are not scored; leave it out"
        )
    for index, one in enumerate(saved):
        if one.same_as(saved[:index]):
            raise UserError(f"--classifier={one.path} is given twice, and would be counted twice; leave it out once")
    _require_used(options, protocol, chosen_by_net=bool(nets) and not saved, computed=computed)
    if nets and protocol.method == SQUASH:
        path = nets[0].path
        console.say(f"{path} was validated on photos squashed to its input size, and chooses the classes by such")
    settings = {"method": protocol.method, "flip": protocol.flips()} if options.method == SQUASH else {}
    return Classifiers(nets[0] if nets else None, saved, protocol, settings)


def _require_used(options: EvaluateOptions, protocol: TestProtocol, *, chosen_by_net: bool, computed: bool) -> None:
    """Checks that no flag asks for another choice of the classes where no net chooses them by whole images.

    Raises:
        UserError: --average or --flip does.
    """
    if not computed or (chosen_by_net and protocol.method == DENSE):
        return
    flags = {"average": options.changed(("average",)), "flip": options.method == DENSE and options.flip is not None}
    for flag, is_set in flags.items():
        if is_set:
            raise UserError(
                f"--{flag} is for the choice of the classes by a net that is shown whole photos, and here none chooses "
                "them so; leave it out"
            )
