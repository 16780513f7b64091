"""Finds out which workers train together, and which of them this process is, from TF_CONFIG or from Slurm.

Imports no TensorFlow. The workers of a cluster are its task "chief", if it has one, and its tasks "worker"; the first
of them, in this order, is the chief, which writes the run's folder and reports.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from vgg_keras.utils import slurm
from vgg_keras.utils.arithmetic import parse_whole
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.escaping import shortened
from vgg_keras.utils.hosts import is_host

EXAMPLE = '{"cluster": {"worker": ["first:5000", "second:5000"]}, "task": {"type": "worker", "index": 0}}'
EVALUATOR_NOTE = (
    "TF_CONFIG makes this task an evaluator, which has nothing to do: training validates after each epoch by itself, "
    "and tests are shared out over the chief and the workers. Leave the evaluator out of the job"
)
_CHIEF, _WORKER, _EVALUATOR = "chief", "worker", "evaluator"

# Environment variables without which a process works alone.
VARIABLES = ("TF_CONFIG", *slurm.NUMBERS)


class EvaluatorError(UserError):
    """Error that TF_CONFIG makes this process an evaluator, a task that this package does not need."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One worker of a cluster.

    Attributes:
        kind: "chief" or "worker".
        index: index among the tasks of its kind.
        address: "host:port", where the worker's server listens.
    """

    kind: str
    index: int
    address: str

    @property
    def host_and_port(self) -> tuple[str, int]:
        """The parts of the address; the host without the brackets of an IPv6 address."""
        host, _, port = self.address.rpartition(":")
        return host.strip("[]"), int(port)

    def __str__(self) -> str:
        return f"{self.kind if self.kind == _CHIEF else f'{self.kind} {self.index}'}, {self.address}"


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers that train together.

    Attributes:
        source: where it is described: "TF_CONFIG" or "Slurm".
        tasks: all workers; the first is the chief.
        index: index of this process among them.
    """

    source: str
    tasks: tuple[Task, ...]
    index: int

    @property
    def me(self) -> Task:
        """The task that this process is."""
        return self.tasks[self.index]

    @property
    def is_chief(self) -> bool:
        """Whether this process is the chief."""
        return self.index == 0

    def addresses(self) -> dict[str, list[str]]:
        """Returns the addresses by kind, as TensorFlow's `ClusterSpec` takes them."""
        kinds = dict.fromkeys(task.kind for task in self.tasks)
        return {kind: [task.address for task in self.tasks if task.kind == kind] for kind in kinds}


def from_environment(environ: Mapping[str, str] = os.environ) -> Cluster | None:
    """Returns the cluster that TF_CONFIG describes, else the tasks of a Slurm step of several, else None.

    Raises:
        EvaluatorError: TF_CONFIG makes this process an evaluator.
        UserError: TF_CONFIG or Slurm's variables are malformed, or describe parameter servers.
    """
    if environ.get("TF_CONFIG"):
        return _from_tf_config(environ["TF_CONFIG"])
    step = slurm.read_step(environ)
    if step is None:
        return None
    tasks = tuple(Task(_WORKER, index, address) for index, address in enumerate(step.addresses))
    return Cluster("Slurm", tasks, step.index)


def choose(strategy: str, *, one_process: str = "", environ: Mapping[str, str] = os.environ) -> Cluster | None:
    """Returns the cluster that a strategy works on, or None if this process works alone.

    Args:
        strategy: one of `hardware.STRATEGIES`.
        one_process: what can run in one process only, such as "--metrics"; "" if nothing of that kind is asked for.
        environ: the environment.

    Raises:
        UserError: "multi_worker" is asked for and there is no cluster, the cluster is malformed, or it has several
            workers and `one_process` is not "".
    """
    if strategy not in ("auto", "multi_worker"):
        return None
    cluster = from_environment(environ)
    if cluster is None and strategy == "multi_worker":
        raise UserError(
            "--strategy=multi_worker needs a Slurm step of several tasks, or the environment variable TF_CONFIG: "
            f"{EXAMPLE}"
        )
    if cluster is None or (strategy == "auto" and len(cluster.tasks) == 1):
        return None
    if one_process and len(cluster.tasks) > 1:
        raise UserError(
            f"{cluster.source} names {len(cluster.tasks)} workers, and {one_process} runs in one process: leave it "
            "out, or start one process alone with --strategy=mirrored"
        )
    return cluster


def is_evaluator(environ: Mapping[str, str] = os.environ) -> bool:
    """Returns whether TF_CONFIG makes this process an evaluator, a task that this package does not need."""
    try:
        from_environment(environ)
    except UserError as error:
        return isinstance(error, EvaluatorError)
    return False


def unused_note(environ: Mapping[str, str] = os.environ) -> str:
    """Returns what a process that works alone tells about a cluster in its environment; "" if there is none."""
    try:
        cluster = from_environment(environ)
    except UserError:
        return "TF_CONFIG or Slurm's variables describe a cluster; this process does not use them, and works alone"
    if cluster is None or len(cluster.tasks) == 1:
        return ""
    return f"{cluster.source} names {len(cluster.tasks)} workers; this process does not use them, and works alone"


def _from_tf_config(text: str) -> Cluster | None:
    """Parses TF_CONFIG; returns None if it names no cluster, as that of a job of one task."""
    try:
        return _cluster_of(text, _parsed(text))
    except RecursionError:
        raise _malformed(text, "it is nested too deeply") from None


def _cluster_of(text: str, content: dict[str, Any]) -> Cluster | None:
    """Returns the cluster that the content of TF_CONFIG describes, or None if it names none."""
    if isinstance(content.get("task"), dict) and content["task"].get("type") == _EVALUATOR:
        raise EvaluatorError(EVALUATOR_NOTE)
    addresses = content.get("cluster") or {}
    if not isinstance(addresses, dict):
        raise _malformed(text, '"cluster" is not an object of lists of addresses')
    known = {_CHIEF, _WORKER, _EVALUATOR}
    if "ps" in addresses:
        raise UserError(
            'TF_CONFIG names parameter servers ("ps"), which training does not use: leave them out of the job; chief '
            "and workers exchange their gradients directly"
        )
    if unknown := sorted(addresses.keys() - known):
        raise _malformed(text, f'"{_shown(unknown[0])}" is no type of task; these are chief, worker and evaluator')
    if not addresses:
        return None
    tasks = tuple(
        Task(kind, index, _checked_address(text, address))
        for kind in (_CHIEF, _WORKER)
        for index, address in enumerate(_checked_list(text, kind, addresses.get(kind, [])))
    )
    if len({task.address for task in tasks}) < len(tasks):
        raise _malformed(text, "two tasks have the same address")
    if sum(task.kind == _CHIEF for task in tasks) > 1:
        raise _malformed(text, "there is more than one chief")
    kind, index = _own_task(text, content)
    places = [place for place, task in enumerate(tasks) if (task.kind, task.index) == (kind, index)]
    if not places:
        raise _malformed(text, f'the cluster has no task of the type "{_shown(kind)}" and the index {index}')
    return Cluster("TF_CONFIG", tasks, places[0])


def _parsed(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise _malformed(text, f"it is not JSON ({error})") from None
    if not isinstance(content, dict):
        raise _malformed(text, "it is not a JSON object")
    return content


def _checked_list(text: str, kind: str, addresses: Any) -> list:
    if not isinstance(addresses, list):
        raise _malformed(text, f'"{kind}" is not a list of addresses')
    return addresses


def _checked_address(text: str, address: Any) -> str:
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    if not is_host(host) or not 0 < (parse_whole(port) or 0) < 65536:
        what = "is not an address of the form host:port, with the name of a machine and a port from 1 to 65535"
        raise _malformed(text, f"{_shown(address)!r} {what}")
    return address


def _own_task(text: str, content: dict[str, Any]) -> tuple[str, int]:
    task = content.get("task")
    if not isinstance(task, dict) or "type" not in task or "index" not in task:
        raise _malformed(text, 'it has no "task" with a "type" and an "index"')
    index = None if isinstance(task["index"], bool) else parse_whole(str(task["index"]))
    if index is None:
        raise _malformed(text, f"the index {_shown(task['index'])!r} of the task is not a whole number from 0 on")
    return str(task["type"]), index


def _malformed(text: str, what: str) -> UserError:
    return UserError(f"TF_CONFIG is malformed: {what}. It should look like {EXAMPLE}, and is {shortened(text)!r}")


def _shown(value: Any) -> Any:
    """Returns a value of TF_CONFIG for a message: a number, or the begin of a text."""
    return value if isinstance(value, (int, float)) else shortened(str(value), 60)
