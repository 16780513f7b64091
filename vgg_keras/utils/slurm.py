"""Reads the tasks of a Slurm step, as `srun` starts them, from the environment.

TensorFlow's own `SlurmClusterResolver` needs nvidia-smi and a GPU for each task, and orders the nodes by their
spelling, in which node10 comes before node2, so that tasks would take each other's place.
"""

import dataclasses
import itertools
import re
from collections.abc import Mapping

from vgg_keras.utils.errors import UserError

# Each job has a range of ports of its own, so that jobs that share a node do not meet; below the ports that the kernel
# hands out to connections.
_FIRST_PORT, _PORTS_PER_JOB, _RANGES = 15000, 16, 1000


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
        rank, num_tasks = int(environ["SLURM_PROCID"]), int(environ["SLURM_STEP_NUM_TASKS"])
        job = int(environ["SLURM_JOB_ID"])
    except KeyError as error:
        raise UserError(f"Slurm's variable {error.args[0]} is missing: start the tasks by srun") from None
    except ValueError as error:
        raise UserError(f"Slurm's variables are malformed: {error}") from None
    if len(nodes) != len(counts) or sum(counts) != num_tasks or not 0 <= rank < num_tasks:
        raise UserError(
            f"Slurm's variables contradict each other: rank {rank} of {num_tasks} tasks, {counts} tasks on {nodes}"
        )
    places = [(node, local) for node, count in enumerate(counts) for local in range(count)]
    if environ.get("SLURM_NODEID", str(places[rank][0])) != str(places[rank][0]):
        raise UserError("Slurm deals the tasks to the nodes in turn: give srun --distribution=block")
    first_port = _FIRST_PORT + _PORTS_PER_JOB * (job % _RANGES)
    return Step(tuple(f"{nodes[node]}:{first_port + local}" for node, local in places), rank)


def expand_nodes(text: str) -> list[str]:
    """Returns the nodes of a Slurm node list, in its order.

    >>> expand_nodes("login,n[1-2,08-09],r[0-1]c[3]-ib")
    ['login', 'n1', 'n2', 'n08', 'n09', 'r0c3-ib', 'r1c3-ib']

    Raises:
        ValueError: the text is not a node list.
    """
    part_pattern = r"(?:[^,\[\]]|\[[^\[\]]+\])+"
    if not re.fullmatch(f"{part_pattern}(?:,{part_pattern})*", text):
        raise ValueError(f"{text!r} is not a list of nodes")
    nodes = []
    for part in re.findall(part_pattern, text):
        pieces = re.split(r"\[([^\]]*)\]", part)  # text and ranges in turn
        choices = [expand_ranges(piece) if place % 2 else [piece] for place, piece in enumerate(pieces)]
        nodes += ["".join(combination) for combination in itertools.product(*choices)]
    return nodes


def expand_ranges(text: str) -> list[str]:
    """Returns the numbers of ranges such as "1-2,08-09", with their leading zeros.

    Raises:
        ValueError: the text is not of this form.
    """
    numbers = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers += [str(number).zfill(len(first)) for number in range(int(first), int(last or first) + 1)]
    return numbers


def expand_counts(text: str) -> list[int]:
    """Returns the number of tasks of each node.

    >>> expand_counts("3(x2),1")
    [3, 3, 1]

    Raises:
        ValueError: the text is not of this form.
    """
    counts: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if not found:
            raise ValueError(f"{text!r} is not a list of numbers of tasks")
        counts += [int(found[1])] * int(found[2] or 1)
    return counts
