"""Describes the machine and the versions on which figures are measured."""

import datetime
import platform

from benchmarks.harness import sides
from vgg_keras.utils import hardware
from vgg_keras.version import __version__


def describe() -> dict[str, str]:
    """Returns the machine, the versions and the date as texts by their names."""
    return {
        **sides.apart(_describe_machine),
        "cores": str(hardware.cpu_count()),
        "memory": f"{hardware.memory_bytes() / 2**30:.1f} GiB",
        "system": platform.platform(),
        "vgg_keras": __version__,
        "Python": platform.python_version(),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _describe_machine() -> dict[str, str]:
    """Returns the processor, whether it has units for bfloat16, the GPUs, and the libraries; starts TensorFlow."""
    import keras
    import numpy as np
    import tensorflow as tf

    from vgg_keras.utils import devices

    machine = devices.describe_machine()
    precision, why = devices.choose_precision("auto")
    gpus = machine["gpus"]
    return {
        "CPU": str(machine["cpu"]) or "unknown",
        "bfloat16": f"{'yes' if precision == 'mixed_bfloat16' else 'no'} ({why})",
        "GPUs": ", ".join(gpus) if isinstance(gpus, list) and gpus else "none",
        "TensorFlow": tf.__version__,
        "Keras": keras.__version__,
        "NumPy": np.__version__,
    }
