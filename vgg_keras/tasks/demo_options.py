"""Defines the options of `vgg_keras.demo`; imports no TensorFlow, so that `--help` is quick."""

import dataclasses

from vgg_keras.models import run_record
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.hosts import is_host
from vgg_keras.utils.options import Options, PathLike, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class DemoOptions(Options):
    """Options of `vgg_keras.demo`."""

    model: PathLike = option(
        "",
        "a run's folder, a .keras file or an exported SavedModel",
        group="input",
        required=True,
        path=True,
        layout=run_record.LAYOUT,
    )
    classifier: PathLike = option(
        "",
        "for a --model that predicts boxes: the .keras file or run of the net that chooses and scores the classes",
        group="input",
        path=True,
        layout=run_record.LAYOUT,
    )
    host: str = option(
        "127.0.0.1",
        "name or IP address that the page is served at; the default is reached from this machine alone, 0.0.0.0 from "
        "all others too",
        group="service",
    )
    port: int = option(7860, "port of the page; 0: any free one", group="service", lower=0, upper=65535)
    max_megabytes: int = option(20, "refuse larger files of photos, MB of 1,048,576 bytes", group="service", lower=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_host(self.host):
            raise UserError(f"--host={self.host} is neither the name of a machine nor an IP address")
