"""Reads the tasks of a Slurm step, as `srun` starts them, from the environment.

TensorFlow's own `SlurmClusterResolver` needs nvidia-smi and a GPU for each task, and orders the nodes by their
spelling, in which node10 comes before node2, so that tasks would take each other's place.
"""

import dataclasses
import itertools
import math
import re
import reprlib
from collections.abc import Mapping

from vgg_keras.utils.arithmetic import parse_whole
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.escaping import shortened

# Each job has a range of ports of its own, so that jobs that share a node do not meet; below the ports that the kernel
# hands out to connections.
_FIRST_PORT, _PORTS_PER_JOB, _RANGES = 15000, 16, 1000
# More nodes, and more tasks, than Slurm itself allows in a step (MAX_NODE_COUNT, 64 K nodes).
_MOST = 1 << 16
# Variables that are numbers: rank of this task, number of tasks, number of the job.
NUMBERS = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_JOB_ID")


@dataclasses.dataclass(frozen=True)
class Step:
    """The tasks of a Slurm step.

    Attributes:
        addresses: "host:port" of each task, in the order of the ranks.
        index: rank of this process.
    """

    addresses: tuple[str, ...]
    index: int


def read_step(environ: Mapping[str, str]) -> Step | None:
    """Returns the step that this process is a task of, or None outside of a step of several tasks.

    Raises:
        UserError: a variable is missing or malformed, or the tasks are not dealt to the nodes in blocks.
    """
    if environ.get("SLURM_STEP_NUM_TASKS", "1") == "1":
        return None
    try:
        nodes = expand_nodes(environ["SLURM_STEP_NODELIST"])
        counts = expand_counts(environ["SLURM_STEP_TASKS_PER_NODE"])
        rank, num_tasks, job = (_whole(environ[name]) for name in NUMBERS)
    except KeyError as error:
        raise UserError(f"Slurm's variable {error.args[0]} is missing: start the tasks by srun") from None
    except ValueError as error:
        raise UserError(f"Slurm's variables are malformed: {error}") from None
    if len(nodes) != len(counts) or sum(counts) != num_tasks or not 0 <= rank < num_tasks:
        raise UserError(
            f"Slurm's variables contradict each other: rank {rank} of {num_tasks} tasks, {reprlib.repr(counts)} tasks "
            f"on {reprlib.repr(nodes)}"
        )
    places = [(node, local) for node, count in enumerate(counts) for local in range(count)]
    if environ.get("SLURM_NODEID", str(places[rank][0])) != str(places[rank][0]):
        raise UserError("Slurm deals the tasks to the nodes in turn: give srun --distribution=block")
    first_port = _FIRST_PORT + _PORTS_PER_JOB * (job % _RANGES)
    return Step(tuple(f"{nodes[node]}:{first_port + local}" for node, local in places), rank)


def _whole(text: str) -> int:
    number = parse_whole(text)
    if number is None:
        raise ValueError(f"{shortened(text)!r} is not a whole number")
    return number


def _require_few(count: int, text: str) -> None:
    """Refuses a list before it is expanded, for which there may be no memory."""
    if count > _MOST:
        raise ValueError(f"{shortened(text)!r} names {count:,}, more than the {_MOST:,} that Slurm allows")


def expand_nodes(text: str) -> list[str]:
    """Returns the nodes of a Slurm node list, in its order.

    >>> expand_nodes("login,n[1-2,08-09],r[0-1]c[3]-ib")
    ['login', 'n1', 'n2', 'n08', 'n09', 'r0c3-ib', 'r1c3-ib']

    Raises:
        ValueError: the text is not a node list, or names more nodes than Slurm allows.
    """
    part_pattern = r"(?:[^,\[\]]|\[[^\[\]]+\])+"
    if not re.fullmatch(f"{part_pattern}(?:,{part_pattern})*", text):
        raise ValueError(f"{shortened(text)!r} is not a list of nodes")
    # Each part is a sequence of texts and of ranges in turn.
    parts = [re.split(r"\[([^\]]*)\]", part) for part in re.findall(part_pattern, text)]
    ranges = [[parse_ranges(piece) for piece in part[1::2]] for part in parts]
    counts = [math.prod(sum(len(numbers) for _, numbers in one) for one in of_part) for of_part in ranges]
    _require_few(sum(counts), text)
    nodes = []
    for part, of_part in zip(parts, ranges, strict=True):
        choices: list[list[str]] = [[piece] for piece in part]
        choices[1::2] = [[f"{number:0{width}}" for width, numbers in one for number in numbers] for one in of_part]
        nodes += ["".join(combination) for combination in itertools.product(*choices)]
    return nodes


def parse_ranges(text: str) -> list[tuple[int, range]]:
    """Returns the ranges of a text such as "1-2,08-09": the number of digits of the first number, and the numbers.

    Raises:
        ValueError: the text is not of this form.
    """
    ends = [(first, last if dash else first) for first, dash, last in (part.partition("-") for part in text.split(","))]
    return [(len(first), range(_whole(first), _whole(last) + 1)) for first, last in ends]


def expand_counts(text: str) -> list[int]:
    """Returns the number of tasks of each node.

    >>> expand_counts("3(x2),1")
    [3, 3, 1]

    Raises:
        ValueError: the text is not of this form, or names more nodes or tasks than Slurm allows.
    """
    found = [re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part) for part in text.split(",")]
    if not all(found):
        raise ValueError(f"{shortened(text)!r} is not a list of numbers of tasks")
    pairs = [(_whole(one[1]), _whole(one[2] or "1")) for one in found if one]
    _require_few(sum(times * max(count, 1) for count, times in pairs), text)
    return [count for count, times in pairs for _ in range(times)]
