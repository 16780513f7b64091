"""Writes the documentation's page of all configurations, docs/model-zoo.md, from their heads and from measurements.

python -m tests.helpers.model_zoo
python -m tests.helpers.model_zoo reproduced/cifar10 "2 CPU cores, beside other work"

The first command writes the page from the configurations and docs/model-zoo.json. The second one first adds to the
latter what a suite has measured, and on what machine.
"""

import dataclasses
import hashlib
import itertools
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.helpers.documentation import DOCS
from tests.helpers.flag_tables import VERBS
from tests.helpers.paths import ROOT
from vgg_keras.utils.display import duration_text
from vgg_keras.utils.options import parse

PAGE = DOCS / "model-zoo.md"
# Measurements by configuration: {"configs/x.cfg": {"time": text, "error": text, "file": name, "sha256": digest}}.
MEASURED = DOCS / "model-zoo.json"
# Heading and introduction of the section of each folder of configurations.
SECTIONS = {
    "configs": ("Runs", "The nets of the paper on ImageNet, and fine-tuning on photos of flowers or of your own."),
    "configs/tables": (
        "Tests of the paper's tables",
        "The rows of Tables 3 to 6, 8, 9, 11 and 12. [ImageNet step by step](imagenet.md#4-test) has their order.",
    ),
    "configs/cifar10": (
        "Runs on CIFAR-10",
        "The nets of the paper [in miniature](reproduce.md#cifar-10-the-paper-in-miniature). The errors of runs are "
        "those of the centre crop at the training scale, on the 10,000 test photos.",
    ),
    "configs/cifar10/tables": (
        "Tests on CIFAR-10",
        "The tables of the paper in miniature. The error of a test is that of all its scales, methods and nets "
        "together; [Results](results.md#the-papers-tables-in-miniature-cifar-10) has each row of the tables.",
    ),
    "configs/quick": (
        "Runs of the quick suite",
        "Very narrow nets on drawn flowers, to see that the chain of runs and tests works. Their errors say nothing.",
    ),
    "configs/quick/tables": ("Tests of the quick suite", "The same for its tests."),
}
# Data sets, with links to how they come about, by the value of the flag --dataset or --data_dir.
DATA_SETS = {
    "data/imagenet": "[ImageNet](imagenet.md#2-prepare-the-records)",
    "data/flowers": "[flower photos](fine-tuning.md#the-flower-photos-as-an-example)",
    "data/my_photos": "[your photos](your-photos.md#2-prepare-them)",
    "data/my_boxes": "[your photos with boxes](localization.md#1-data)",
    "data/voc2007": "[VOC 2007](other-data-sets.md)",
    "data/voc2012": "[VOC 2012](other-data-sets.md)",
    "data/voc2012_actions": "[VOC 2012, actions](other-data-sets.md)",
    "data/caltech101": "[Caltech-101](fine-tuning.md#random-splits-caltech-101-and-caltech-256)",
    "data/caltech256": "[Caltech-256](fine-tuning.md#random-splits-caltech-101-and-caltech-256)",
    "cifar10": "[CIFAR-10](reproduce.md#cifar-10-the-paper-in-miniature)",
    "data/quick": "[drawn flowers](quickstart.md)",
    "drawn_flowers": "[drawn flowers](quickstart.md)",
}
_INTRODUCTION = """\
<!-- Written by `python -m tests.helpers.model_zoo` from configs/ and docs/model-zoo.json. Do not edit it by hand. -->

# Model zoo

Every configuration that comes with the package: the command that runs it, what it is, its data, how long it takes, and
its error. Trained models are not offered for download: the command makes the model.

- Errors are top-1 errors in percent unless something else is said. One that was **measured** with this package stands
  in bold; one that is *the paper's* says so. Where neither is known, the cell is empty. Conditions are on the page
  [Results](results.md).
- Nobody has run the configurations for ImageNet on all of it yet, so their time is empty. [ImageNet on a GPU
  machine](imagenet-gpus.md) works out what to expect.
- Where the file that was measured is known, its SHA-256 stands below the table. A run that is repeated ends with the
  same bits only on the same kind of machine with the same versions, so yours may differ.

The package also reads the published weights of keras.applications, torchvision, timm and KerasHub: [Weights from
elsewhere](fine-tuning.md#weights-from-elsewhere).
"""
_HEADER = "| NAME | what it is | data | time | error |\n|---|---|---|---|---|\n"
_HEAD = re.compile(r"(?P<what>.*?)\s*Time: (?P<time>.*?)\. (?P<rest>(?:Expected|The paper publishes)\b.*)")
_EXPECTED = re.compile(r"Expected(?: on (?P<split>[^:(]+))?(?: \((?P<test>[^)]*)\))?: (?P<error>.*)")
# What a head says where it gives no figure.
_NOT_TIMED = ("not run", "@@")
_NO_ERROR = ("not known", "not published by itself", "any error", "see docs/results.md")


@dataclasses.dataclass(frozen=True)
class Entry:
    """A row of the page.

    Attributes:
        config: path of the flag file: "configs/vgg16.cfg".
        verb: dotted name of the verb that takes it.
        what: what it is.
        data: its data set.
        time: how long it takes; "" if nobody knows.
        error: its error, and whose it is; "" if there is none.
    """

    config: str
    verb: str
    what: str
    data: str
    time: str
    error: str

    def row(self) -> str:
        """Returns the row of the table."""
        name = Path(self.config).stem
        return f"| {name} | {self.what} | {DATA_SETS[self.data]} | {self.time} | {self.error} |\n"


def runnable(folder: str) -> Iterator[tuple[str, str, str]]:
    """Yields (flag file, verb, its head as one line) of the configurations of a folder that open with a command."""
    for path in sorted((ROOT / folder).glob("*.cfg")):
        config = f"{folder}/{path.name}"
        lines = path.read_text(encoding="utf-8").splitlines()
        command = re.fullmatch(rf"# python -m (\S+) --flagfile={re.escape(config)}", lines[0])
        if command:
            comments = itertools.takewhile(lambda line: line.startswith("#"), lines[1:])
            yield config, command[1], " ".join(line[1:].strip() for line in comments)


def entry(config: str, verb: str, head: str, measured: Mapping[str, Any]) -> Entry:
    """Returns the row of a configuration.

    Args:
        config: the flag file.
        verb: the verb that takes it.
        head: its head without the command, as one line.
        measured: what was measured of it, which takes precedence over the head.
    """
    options: Any = parse([f"--flagfile={config}"], VERBS[verb])
    found = _HEAD.match(head)
    assert found, f"{config}: its head must say: Time: .... Expected...: ...."
    time = "" if found["time"] in _NOT_TIMED else found["time"]
    return Entry(
        config,
        verb,
        _first_sentence(found["what"]),
        getattr(options, "dataset", "") or options.data_dir,
        measured.get("time", time),
        f"**{measured['error']}**" if "error" in measured else _error(found["rest"], measured=bool(time)),
    )


def _error(rest: str, *, measured: bool) -> str:
    """Returns the error that a head expects, in bold if it was measured, else as the paper's."""
    expected = _EXPECTED.match(rest)
    text = expected["error"] if expected else rest
    text = _first_sentence(text)
    if text.startswith(_NO_ERROR):
        return ""
    if measured:
        return f"**{text}**"
    if not expected:
        return f"*{text}*"
    test = expected["test"] or expected["split"]
    return f"{text}, *the paper's*" + (f" ({test})" if test else "")


def _first_sentence(text: str) -> str:
    """Returns a text up to the full stop of its first sentence, which "app. A)" does not end."""
    return re.split(r"\.(?= [A-Z][a-z]|$)", text)[0]


def section(folder: str, measured: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the section of a folder: its heading, its table, and the checksums of what was measured."""
    heading, introduction = SECTIONS[folder]
    entries = [entry(*found, measured.get(found[0], {})) for found in runnable(folder)]
    parts = [f"## {heading}\n\n{introduction}\n"]
    for verb in dict.fromkeys(one.verb for one in entries):
        rows = "".join(one.row() for one in entries if one.verb == verb)
        parts.append(f"```text\npython -m {verb} --flagfile={folder}/NAME.cfg\n```\n\n{_HEADER}{rows}")
    digests = [
        f"| `{one.config}` | `{measured[one.config]['file']}` | `{measured[one.config]['sha256']}` |\n"
        for one in entries
        if "sha256" in measured.get(one.config, {})
    ]
    if digests:
        parts.append("| what was measured | file | SHA-256 |\n|---|---|---|\n" + "".join(digests))
    return "\n".join(parts)


def page() -> str:
    """Returns the page of all configurations as Markdown."""
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    return "\n".join([_INTRODUCTION, *(section(folder, measured) for folder in SECTIONS)])


def measurements(folder: Path, machine: str) -> dict[str, dict[str, str]]:
    """Returns what a suite that `vgg_keras.reproduce` has run, as a whole or in part, has measured.

    Args:
        folder: the suite's folder.
        machine: what it ran on, for people.
    """
    found = {}
    for step, seconds in json.loads((folder / "reproduce.json").read_text(encoding="utf-8"))["seconds"].items():
        verb, config = step.split()
        options: Any = parse([f"--flagfile={config}"], VERBS[f"vgg_keras.{verb}"])
        output = folder / options.output_dir
        one = {"time": f"{duration_text(seconds)} on {machine}"}
        if verb == "train":
            lines = (output / "history.jsonl").read_text(encoding="utf-8").splitlines()
            errors = [json.loads(line)["validation_top1_error"] for line in lines]
            digest = hashlib.sha256((output / "best.keras").read_bytes()).hexdigest()
            one |= {"error": f"{min(errors):.1f}%", "file": "best.keras", "sha256": digest}
        else:
            results = json.loads((output / "evaluation.json").read_text(encoding="utf-8"))["results"]
            # The last one is that of all scales, methods and nets together.
            one["error"] = f"{results[-1]['top1_error']:.1f}%"
        found[config] = one
    return found


def _main(folder: str = "", machine: str = "") -> None:
    if folder:
        measured = json.loads(MEASURED.read_text(encoding="utf-8")) | measurements(Path(folder), machine)
        MEASURED.write_text(json.dumps(measured, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    _main(*sys.argv[1:])
