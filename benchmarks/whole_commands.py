"""Measures whole commands on little work: predict on one photo, and evaluate on 40 photos.

Both load TensorFlow and a model, as any program does that uses a net; the rest is what the package adds, and the work.
"""

import contextlib
import itertools
from collections.abc import Iterator, Sequence

from benchmarks.harness import materials, sides
from benchmarks.harness.definitions import Benchmark, Figure, Settings

_LOAD = "import sys, tensorflow, keras; keras.saving.load_model(sys.argv[1])"
_PHOTOS, _QUICK_PHOTOS = 40, 4


@contextlib.contextmanager
def prepare(settings: Settings) -> Iterator[Sequence[Figure]]:
    """Yields the figures of a net A of 1/16 of the width, with crops of 64x64 pixels."""
    model = materials.net_file(settings, "A", width_multiplier=1 / 16, input_size=64)
    (photo,) = materials.photo_files(settings, 1)
    count = _QUICK_PHOTOS if settings.quick else _PHOTOS
    data_dir = materials.data_set(settings, training=2, validation=count)
    # An evaluation that is finished is not done again in the same folder.
    folders = map(str, itertools.count())

    def evaluate() -> None:
        flags = {"model": model, "data_dir": data_dir, "method": "both", "test_scales": "72", "max_images": count}
        given = [f"--{name}={value}" for name, value in flags.items()]
        sides.run(("-m", "vgg_keras.evaluate", *given, f"--output_dir={settings.scratch / 'tests' / next(folders)}"))

    predict = ("-m", "vgg_keras.predict", f"--model={model}", "--test_scales=72", str(photo))
    load = sides.command("-c", _LOAD, str(model))
    yield [
        Figure(name="predict, one photo", ours=sides.command(*predict), peer=load),
        Figure(name=f"evaluate --method=both, {count} photos", ours=sides.timed(evaluate), peer=load),
    ]


BENCHMARK = Benchmark(
    ours="the whole process of the verb, with a narrow net A",
    peer="a bare process that imports TensorFlow and Keras and loads the same file with keras.saving.load_model",
    prepare=prepare,
)
