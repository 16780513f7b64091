"""What is asked of a served model before it may answer strangers: warm-up, mixed, malformed and concurrent requests."""

import concurrent.futures
import dataclasses
import io
import math
import time
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from vgg_keras.serving import warmup
from vgg_keras.serving.agreement import Agreement
from vgg_keras.serving.client import Client, RequestRefused
from vgg_keras.serving.servable import CLASSIFY
from vgg_keras.serving.warmup import WarmUpRequest

# Answers to one photo, alone and among others: the same ops on the same shapes.
_SAME = 1e-5
_REFUSED = "INVALID_ARGUMENT"
# Side of the largest image that is made here to be refused there; it takes a byte a pixel while it is made.
_LARGEST_BOMB = 30_000


@dataclasses.dataclass(frozen=True)
class Photos:
    """Photos that are sent.

    Attributes:
        encoded: JPEG, PNG, GIF or BMP.
        expected: (N, classes), the source model's posteriors.
    """

    encoded: Sequence[bytes]
    expected: np.ndarray


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a check.

    Attributes:
        check: its name.
        seconds: of each request.
        num_images: in all requests together.
        wall_seconds: of all requests together.
        agreement: with the source model, where answers were compared.
        problem: what is wrong, or "".
    """

    check: str
    seconds: Sequence[float] = ()
    num_images: int = 0
    wall_seconds: float = 0.0
    agreement: Agreement | None = None
    problem: str = ""

    def percentile(self, percent: float) -> float:
        """Returns the latency in milliseconds below which so many percent of the requests are."""
        return 1000 * float(np.percentile(self.seconds, percent))

    def images_per_second(self) -> float:
        """Returns the throughput."""
        return self.num_images / self.wall_seconds


@dataclasses.dataclass(frozen=True)
class Checks:
    """The checks of one served model.

    Attributes:
        client: asks it.
        photos: what is sent.
        tolerance: largest difference in posterior from the source model that is allowed.
        max_pixels: images with more are refused.
        concurrency: requests at the same time.
        batch_size: photos in a request of several.
    """

    client: Client
    photos: Photos
    tolerance: float
    max_pixels: int
    concurrency: int = 4
    batch_size: int = 8

    def replay(self, requests: Sequence[WarmUpRequest]) -> Outcome:
        """Sends the requests of the warm-up file, and compares the answers with those that it holds."""
        seconds, differences = [], [0.0]
        for request in requests:
            start = time.perf_counter()
            outputs = self.client.predict(request.signature, request.inputs)
            seconds.append(time.perf_counter() - start)
            differences += [np.abs(outputs[name] - expected).max() for name, expected in request.expected.items()]
        # np.max, unlike max, lets no NaN go unseen.
        largest = float(np.max(differences))
        problem = "" if largest <= self.tolerance else f"answers differ by {largest:.1e} from those in the file"
        images = sum(len(next(iter(request.inputs.values()))) for request in requests)
        return Outcome("warm-up file", seconds, images, sum(seconds), problem=problem)

    def one_by_one(self) -> tuple[Outcome, np.ndarray]:
        """Sends each photo alone; returns also the answers, (N, classes)."""
        return self._compared("one photo a request", [[place] for place in range(len(self.photos.encoded))])

    def mixed(self, alone: np.ndarray) -> Outcome:
        """Sends several photos a request, of mixed sizes, and compares with what each got alone."""
        places = range(len(self.photos.encoded))
        batches = [list(places[start : start + self.batch_size]) for start in places[:: self.batch_size]]
        outcome, answers = self._compared(f"{self.batch_size} photos a request", batches)
        return _unless_same(outcome, float(np.abs(answers - alone).max()))

    def concurrent(self, alone: np.ndarray) -> Outcome:
        """Sends photos alone, several requests at the same time, and compares with what each got before."""
        places = [[place] for place in range(len(self.photos.encoded))] * 2
        outcome, answers = self._compared(f"{self.concurrency} requests at a time", places, self.concurrency)
        return _unless_same(outcome, float(np.abs(answers - np.tile(alone, (2, 1))).max()))

    def formats(self) -> Outcome:
        """Sends one photo in three formats without loss; all must get the same answer."""
        pixels = Image.open(io.BytesIO(self.photos.encoded[0])).convert("RGB").quantize(256).convert("RGB")
        batch = [encoded(pixels, name) for name in ("PNG", "BMP", "GIF")]
        start = time.perf_counter()
        answers = self._classify(batch)
        seconds = time.perf_counter() - start
        outcome = Outcome("PNG, BMP and GIF in one", [seconds], len(batch), seconds)
        return _unless_same(outcome, float(np.abs(answers - answers[0]).max()))

    def malformed(self) -> Outcome:
        """Sends what must be refused with the place of the image at fault, and then a photo that must not be."""
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
        for name, (place, images) in cases.items():
            start = time.perf_counter()
            problem = self._refusal_problem(images, place)
            seconds.append(time.perf_counter() - start)
            problems += [f"{name}: {problem}"] if problem else []
        try:
            self._classify([good])
        except RequestRefused as refused:
            problems.append(f"a good photo afterwards: {refused}")
        images = sum(len(images) for _, images in cases.values())
        return Outcome("malformed", seconds, images, sum(seconds), problem="; ".join(problems))

    def _refusal_problem(self, images: Sequence[bytes], place: int) -> str:
        try:
            self._classify(images)
        except RequestRefused as refused:
            if refused.code != _REFUSED or f"image_bytes[{place}]" not in refused.message:
                return f"should be {_REFUSED} and name image_bytes[{place}], is {refused}"
            return ""
        return "was answered"

    def _classify(self, images: Sequence[bytes]) -> np.ndarray:
        return self.client.predict(CLASSIFY, warmup.encode_photos(images))["posterior"]

    def _compared(
        self, check: str, batches: Sequence[Sequence[int]], concurrency: int = 1
    ) -> tuple[Outcome, np.ndarray]:
        """Sends photos in batches of places, and compares the answers with the source model's."""

        def ask(places: Sequence[int]) -> tuple[float, np.ndarray]:
            start = time.perf_counter()
            answers = self._classify([self.photos.encoded[place] for place in places])
            return time.perf_counter() - start, answers

        start = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(concurrency) as pool:
            answered = list(pool.map(ask, batches))
        wall = time.perf_counter() - start
        seconds, answers = zip(*answered, strict=True)
        answers = np.concatenate(answers)
        agreement = Agreement.measure(answers, self.photos.expected[np.concatenate(batches)])
        far = not agreement.largest_difference <= self.tolerance
        problem = f"more than {self.tolerance:g} from the source model" if far else ""
        return Outcome(check, seconds, len(answers), wall, agreement, problem), answers


def encoded(image: Image.Image, name: str) -> bytes:
    """Returns an image in a format of Pillow's."""
    buffer = io.BytesIO()
    image.save(buffer, format=name)
    return buffer.getvalue()


def _unless_same(outcome: Outcome, difference: float) -> Outcome:
    if difference <= _SAME or outcome.problem:
        return outcome
    return dataclasses.replace(outcome, problem=f"the same photo gets answers that differ by {difference:.1e}")


def run_all(checks: Checks, requests: Sequence[WarmUpRequest], tell: Callable[[str], None]) -> list[Outcome]:
    """Runs all checks, telling which is under way.

    A refusal where there should be an answer ends the checks; it is the last one's problem.
    """
    outcomes: list[Outcome] = []
    alone: np.ndarray | None = None

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
        "malformed": checks.malformed,
    }
    for name, step in steps.items():
        tell(name)
        try:
            outcomes.append(step())
        except RequestRefused as refused:
            return [*outcomes, Outcome(name, problem=str(refused))]
    return outcomes
