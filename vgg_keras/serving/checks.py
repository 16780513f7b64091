"""Sends valid and malformed requests to a served model, and compares its answers with the source model's."""

import concurrent.futures
import dataclasses
import io
import math
import time
from collections.abc import Callable, Sequence

import numpy as np
from PIL import ExifTags, Image

from vgg_keras.data import photo_decoding
from vgg_keras.models.architectures import CLASSIFICATION
from vgg_keras.serving import warmup
from vgg_keras.serving.agreement import Agreement, BoxAgreement
from vgg_keras.serving.client import Client, RequestRefused
from vgg_keras.serving.questions import QUESTIONS, Question
from vgg_keras.serving.warmup import WarmUpRequest
from vgg_keras.utils.words import counted

# Largest difference allowed between two answers to the same photo: both come from the same ops on the same shapes.
_SAME = 1e-5
_REFUSED = "INVALID_ARGUMENT"
# How photos lie in the files of a camera that was held upside down, upright to the left, and upright to the right, and
# the longest side in pixels of those that are made, which tell as much as large ones.
_CAMERA_ORIENTATIONS = (3, 6, 8)
_SIDE_TURNED = 640
# Side in pixels of the largest decompression bomb that is made here: making it takes one byte of memory a pixel.
_LARGEST_BOMB = 30_000


@dataclasses.dataclass(frozen=True)
class Photos:
    """Photos to send, and the answers that are expected.

    Attributes:
        encoded: N encoded photos, JPEG, PNG, GIF or BMP.
        expected: (N, classes), the source model's posteriors of the photos, or (N, n, 4), its boxes.
    """

    encoded: Sequence[bytes]
    expected: np.ndarray


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of a check.

    Attributes:
        check: name of the check.
        seconds: latency of each request in seconds.
        num_images: number of images in all requests together.
        wall_seconds: wall time of all requests together in seconds.
        agreement: agreement with the source model; None where answers were not compared with it.
        problem: description of the problem, "" if there is none.
    """

    check: str
    seconds: Sequence[float] = ()
    num_images: int = 0
    wall_seconds: float = 0.0
    agreement: Agreement | BoxAgreement | None = None
    problem: str = ""

    def percentile(self, percent: float) -> float:
        """Returns a percentile, from 0 to 100, of the requests' latencies in milliseconds."""
        return 1000 * float(np.percentile(self.seconds, percent))

    def images_per_second(self) -> float:
        """Returns the throughput in images per second."""
        return self.num_images / self.wall_seconds


@dataclasses.dataclass(frozen=True)
class Checks:
    """The checks of one served model.

    Attributes:
        client: client of the server.
        photos: the photos to send.
        tolerance: largest difference from the source model's answers that is allowed.
        max_pixels: number of pixels above which the server refuses an image.
        question: what is asked about the photos.
        turns_upright: whether the server turns photos upright by their EXIF orientation.
        concurrency: number of requests at the same time.
        batch_size: number of photos in a request of several.
    """

    client: Client
    photos: Photos
    tolerance: float
    max_pixels: int
    question: Question = QUESTIONS[CLASSIFICATION]
    turns_upright: bool = True
    concurrency: int = 4
    batch_size: int = 8

    def replay(self, requests: Sequence[WarmUpRequest]) -> Outcome:
        """Sends the requests of the warm-up file, and compares the answers with those in the file.

        Raises:
            RequestRefused: the server answers a request with an error.
        """
        seconds, differences = [], [0.0]
        for request in requests:
            start = time.perf_counter()
            outputs = self.client.predict(request.signature, request.inputs)
            seconds.append(time.perf_counter() - start)
            differences += [np.abs(outputs[name] - expected).max() for name, expected in request.expected.items()]
        # np.max, unlike max, always returns NaN if there is one.
        largest = float(np.max(differences))
        problem = "" if largest <= self.tolerance else f"answers differ by {largest:.1e} from those in the file"
        images = sum(len(next(iter(request.inputs.values()))) for request in requests)
        return Outcome("warm-up file", seconds, images, sum(seconds), problem=problem)

    def one_by_one(self) -> tuple[Outcome, np.ndarray]:
        """Sends each photo in a request of its own.

        Returns:
            The outcome, and the answers, (N, ...).

        Raises:
            RequestRefused: the server answers a request with an error.
        """
        return self._compared("one photo a request", [[index] for index in range(len(self.photos.encoded))])

    def mixed(self, alone: np.ndarray) -> Outcome:
        """Sends requests of several photos, of mixed sizes, and compares the answers with those to single photos.

        Args:
            alone: (N, ...), the answers that `one_by_one` returned.

        Raises:
            RequestRefused: the server answers a request with an error.
        """
        indices = range(len(self.photos.encoded))
        batches = [list(indices[start : start + self.batch_size]) for start in indices[:: self.batch_size]]
        sent = counted(min(self.batch_size, len(indices)), "photo")
        outcome, answers = self._compared(f"{sent} a request", batches)
        return _unless_same(outcome, float(np.abs(answers - alone).max()))

    def concurrent(self, alone: np.ndarray) -> Outcome:
        """Sends every photo twice, alone, in concurrent requests, and compares the answers with the earlier ones.

        Args:
            alone: (N, ...), the answers that `one_by_one` returned.

        Raises:
            RequestRefused: the server answers a request with an error.
        """
        indices = [[index] for index in range(len(self.photos.encoded))] * 2
        outcome, answers = self._compared(f"{self.concurrency} requests at a time", indices, self.concurrency)
        return _unless_same(outcome, float(np.abs(answers - np.concatenate([alone, alone])).max()))

    def formats(self) -> Outcome:
        """Sends one photo in three lossless formats, all of which must get the same answer.

        Raises:
            RequestRefused: the server answers the request with an error.
        """
        pixels = Image.open(io.BytesIO(self.photos.encoded[0])).convert("RGB").quantize(256).convert("RGB")
        batch = [encoded(pixels, name) for name in ("PNG", "BMP", "GIF")]
        start = time.perf_counter()
        answers = self._ask(batch)
        seconds = time.perf_counter() - start
        outcome = Outcome("PNG, BMP and GIF in one", [seconds], len(batch), seconds)
        return _unless_same(outcome, float(np.abs(answers - answers[0]).max()))

    def turned(self) -> Outcome:
        """Sends a photo as a phone stores it, held in three ways, and the same pixels upright, for the same answers.

        Raises:
            RequestRefused: the server answers the request with an error.
        """
        photo = photo_decoding.upright_rgb(self.photos.encoded[0])
        photo.thumbnail((_SIDE_TURNED, _SIDE_TURNED))
        lying = [_with_orientation(photo, orientation) for orientation in _CAMERA_ORIENTATIONS]
        upright = [encoded(photo_decoding.upright_rgb(one), "PNG") for one in lying]
        start = time.perf_counter()
        answers = self._ask([*lying, *upright])
        seconds = time.perf_counter() - start
        outcome = Outcome("turned by EXIF", [seconds], len(answers), seconds)
        difference = float(np.abs(answers[: len(lying)] - answers[len(lying) :]).max())
        # Turned pixels are rescaled in another order, and of a JPEG another part is decoded for the centre.
        return _unless_same(outcome, difference, self.tolerance)

    def malformed(self) -> Outcome:
        """Sends malformed requests, whose refusals must name the index of the image at fault, then a valid one."""
        good = self.photos.encoded[0]
        side = math.isqrt(self.max_pixels) + 1
        cases = {
            "text": (1, [good, b"this is not an image"]),
            "an empty image": (0, [b"", good]),
            "half a photo": (2, [good, good, good[: len(good) // 2]]),
        }
        if side <= _LARGEST_BOMB:
            bomb = encoded(Image.new("1", (side, side)), "PNG")
            cases[f"{side}x{side} pixels in a few bytes"] = (1, [good, bomb])
        seconds, problems = [], []
        for name, (index, images) in cases.items():
            start = time.perf_counter()
            problem = self._refusal_problem(images, index)
            seconds.append(time.perf_counter() - start)
            problems += [f"{name}: {problem}"] if problem else []
        try:
            self._ask([good])
        except RequestRefused as refused:
            problems.append(f"a good photo afterwards: {refused}")
        num_images = sum(len(images) for _, images in cases.values())
        return Outcome("malformed", seconds, num_images, sum(seconds), problem="; ".join(problems))

    def _refusal_problem(self, images: Sequence[bytes], index: int) -> str:
        try:
            self._ask(images)
        except RequestRefused as refused:
            if refused.code != _REFUSED or f"image_bytes[{index}]" not in refused.message:
                return f"should be {_REFUSED} and name image_bytes[{index}], is {refused}"
            return ""
        return "was answered"

    def _ask(self, images: Sequence[bytes]) -> np.ndarray:
        return self.client.predict(self.question.signature, warmup.encode_photos(images))[self.question.output]

    def _compared(
        self, check: str, batches: Sequence[Sequence[int]], concurrency: int = 1
    ) -> tuple[Outcome, np.ndarray]:
        """Sends photos in batches of indices, and compares the answers with the source model's."""

        def ask(indices: Sequence[int]) -> tuple[float, np.ndarray]:
            start = time.perf_counter()
            answers = self._ask([self.photos.encoded[index] for index in indices])
            return time.perf_counter() - start, answers

        start = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(concurrency) as pool:
            answered = list(pool.map(ask, batches))
        wall = time.perf_counter() - start
        seconds, answers = zip(*answered, strict=True)
        answers = np.concatenate(answers)
        agreement = self.question.agreement.measure(answers, self.photos.expected[np.concatenate(batches)])
        far = not agreement.largest_difference <= self.tolerance
        problem = f"more than {self.tolerance:g} from the source model" if far else ""
        return Outcome(check, seconds, len(answers), wall, agreement, problem), answers


def encoded(image: Image.Image, name: str) -> bytes:
    """Encodes an image.

    Args:
        image: the image.
        name: Pillow's name of the format, such as "PNG".
    """
    buffer = io.BytesIO()
    image.save(buffer, format=name)
    return buffer.getvalue()


def _with_orientation(photo: Image.Image, orientation: int) -> bytes:
    """Encodes a photo as a JPEG whose EXIF data tell that it is to be turned."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    buffer = io.BytesIO()
    photo.save(buffer, format="JPEG", exif=exif)
    return buffer.getvalue()


def _unless_same(outcome: Outcome, difference: float, allowed: float = _SAME) -> Outcome:
    if difference <= allowed or outcome.problem:
        return outcome
    return dataclasses.replace(outcome, problem=f"the same photo gets answers that differ by {difference:.1e}")


def run_all(checks: Checks, requests: Sequence[WarmUpRequest], tell: Callable[[str], None]) -> list[Outcome]:
    """Runs all checks, one after the other.

    If the server refuses a valid request, the checks end, and the refusal becomes the last outcome's problem.

    Args:
        checks: the checks.
        requests: the requests of the warm-up file.
        tell: function that receives the name of each check before it runs.

    Returns:
        The outcomes, in the order in which the checks ran.
    """
    outcomes: list[Outcome] = []
    alone = np.zeros(())  # the answers to single photos, once they are known

    def one_by_one() -> Outcome:
        nonlocal alone
        outcome, alone = checks.one_by_one()
        return outcome

    steps = {
        "warm-up file": lambda: checks.replay(requests),
        "one photo a request": one_by_one,
        "mixed sizes": lambda: checks.mixed(alone),
        "concurrent": lambda: checks.concurrent(alone),
        "formats": checks.formats,
        **({"turned photos": checks.turned} if checks.turns_upright else {}),
        "malformed": checks.malformed,
    }
    for name, step in steps.items():
        tell(name)
        try:
            outcomes.append(step())
        except RequestRefused as refused:
            return [*outcomes, Outcome(name, problem=str(refused))]
    return outcomes
