"""Reads the tasks of a Slurm step, as `srun` starts them, from the environment.

TensorFlow's own `SlurmClusterResolver` needs nvidia-smi and a GPU for each task, and orders the nodes by their
spelling, in which node10 comes before node2, so that tasks would take each other's place.
"""

import collections
import dataclasses
import itertools
import math
import re
import reprlib
from collections.abc import Mapping

from vgg_keras.utils.arithmetic import parse_whole
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.escaping import shortened
from vgg_keras.utils.hosts import is_host

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
        nodes = _checked_nodes(environ["SLURM_STEP_NODELIST"])
        counts = expand_counts(environ["SLURM_STEP_TASKS_PER_NODE"])
        rank, num_tasks, job = (_whole(environ[name], name) for name in NUMBERS)
        own_node = _whole(environ["SLURM_NODEID"], "SLURM_NODEID") if "SLURM_NODEID" in environ else None
    except KeyError as error:
        raise UserError(f"Slurm's variable {error.args[0]} is missing: start the tasks by srun") from None
    except ValueError as error:
        raise UserError(f"Slurm's variables are malformed: {error}") from None
    fits = len(nodes) == len(counts) and sum(counts) == num_tasks and rank < num_tasks
    if not fits or (own_node or 0) >= len(nodes):
        here = "" if own_node is None else f" on the node of index {own_node}"
        raise UserError(
            f"Slurm's variables contradict each other: rank {rank} of {num_tasks} tasks{here}, "
            f"{reprlib.repr(counts)} tasks on {reprlib.repr(nodes)}"
        )
    places = [(node, local) for node, count in enumerate(counts) for local in range(count)]
    if own_node not in (None, places[rank][0]):
        raise UserError("Slurm deals the tasks to the nodes in turn: give srun --distribution=block")
    first_port = _FIRST_PORT + _PORTS_PER_JOB * (job % _RANGES)
    return Step(tuple(f"{nodes[node]}:{first_port + local}" for node, local in places), rank)


def _whole(text: str, name: str = "") -> int:
    """Returns the whole number that a text writes, which is the value of a variable or a part of one."""
    number = parse_whole(text)
    if number is None:
        raise ValueError(f"{name + ': ' if name else ''}{shortened(text)!r} is not a whole number")
    return number


def _checked_nodes(text: str) -> list[str]:
    """Returns the nodes of a node list, of which each is the name of a machine, and no two are the same.

    Raises:
        ValueError: the text is no such list.
    """
    nodes = expand_nodes(text)
    for node, times in collections.Counter(nodes).items():
        if not is_host(node):
            raise ValueError(f"SLURM_STEP_NODELIST: {shortened(node)!r} cannot be the name of a machine")
        if times > 1:
            raise ValueError(f"SLURM_STEP_NODELIST: {shortened(text)!r} names {node} {times} times")
    return nodes


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
