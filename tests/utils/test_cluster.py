"""Tests what TF_CONFIG and Slurm's variables are taken for."""

import json

import pytest

from vgg_keras.utils import cluster
from vgg_keras.utils.errors import UserError

_WORKERS = {"worker": ["a:5000", "b:5000"]}


def _environ(addresses, kind="worker", index=0):
    return {"TF_CONFIG": json.dumps({"cluster": addresses, "task": {"type": kind, "index": index}})}


@pytest.mark.parametrize(
    ("addresses", "kind", "index", "place", "names"),
    [
        (_WORKERS, "worker", 0, 0, ["worker 0, a:5000", "worker 1, b:5000"]),
        (_WORKERS, "worker", "1", 1, ["worker 0, a:5000", "worker 1, b:5000"]),
        ({"worker": ["b:1"], "chief": ["a:1"]}, "worker", 0, 1, ["chief, a:1", "worker 0, b:1"]),
        ({"worker": ["b:1"], "chief": ["a:1"], "evaluator": ["c:1"]}, "chief", 0, 0, ["chief, a:1", "worker 0, b:1"]),
    ],
)
def test_chief_and_workers(addresses, kind, index, place, names):
    found = cluster.from_environment(_environ(addresses, kind, index))
    assert (found.index, [str(task) for task in found.tasks]) == (place, names)
    assert found.is_chief == (place == 0)


def test_addresses_by_kind_leave_the_evaluator_out():
    found = cluster.from_environment(_environ({"worker": ["b:1", "c:1"], "chief": ["a:1"], "evaluator": ["d:1"]}))
    assert found.addresses() == {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    assert cluster.Task("worker", 0, "[::1]:5000").host_and_port == ("::1", 5000)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1]", "not a JSON object"),
        ("{", "not JSON"),
        ('{"cluster": [1]}', '"cluster" is not an object'),
        ('{"cluster": {"worker": "a:1"}}', '"worker" is not a list'),
        ('{"cluster": {"worker": ["a"]}}', "'a' is not an address"),
        ('{"cluster": {"worker": ["a:x"]}}', "'a:x' is not an address"),
        ('{"cluster": {"worker": ["a:70000"]}}', "'a:70000' is not an address"),
        ('{"cluster": {"worker": [5000]}}', "5000 is not an address"),
        # What no machine can be named: sockets end in errors of other kinds than that of a machine that is not there.
        ('{"cluster": {"worker": [".a:5000"]}}', "'.a:5000' is not an address"),
        ('{"cluster": {"worker": ["a..b:5000"]}}', "'a..b:5000' is not an address"),
        (r'{"cluster": {"worker": ["\ud800:5000"]}}', r"ud800:5000' is not an address"),
        (r'{"cluster": {"worker": ["a\u0000:5000"]}}', "00:5000' is not an address"),
        ('{"cluster": {"worker": ["a b:5000"]}}', "'a b:5000' is not an address"),
        ('{"cluster": {"worker": ["[a]:5000"]}}', "is not an address"),
        (f'{{"cluster": {{"worker": ["{"a" * 64}:5000"]}}}}', "aaa.*' is not an address"),
        ('{"cluster": {"worker": ["a:1", "a:1"]}}', "two tasks have the same address"),
        ('{"cluster": {"chief": ["a:1", "b:1"]}}', "more than one chief"),
        ('{"cluster": {"master": ["a:1"]}}', '"master" is no type of task'),
        ('{"cluster": {"worker": ["a:1"]}}', 'no "task" with a "type" and an "index"'),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "no task of the type"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}', "the index -1"),
        ('{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}}', "parameter servers"),
        # A digit for str.isdigit, not for int; more digits than int takes; deeper than the parser goes.
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "\u00b2"}}', "the index '\u00b2'"),
        (
            f'{{"cluster": {{"worker": ["a:1"]}}, "task": {{"type": "worker", "index": "{"1" * 5000}"}}}}',
            "the index '11",
        ),
        (f'{{"cluster": {{"worker": ["a:1"]}}, "task": {{"type": "worker", "index": {"1" * 5000}}}}}', "not JSON"),
        (f'{{"cluster": {{"worker": ["a:{"1" * 5000}"]}}}}', "'a:11.* is not an address"),
        ("[" * 50_000, "nested too deeply"),
        (f'{{"cluster": {{"worker": {"[" * 900}{"]" * 900}}}}}', r"is not an address|nested too deeply"),
    ],
)
def test_a_malformed_tf_config_is_one_line(text, reason):
    with pytest.raises(UserError, match=reason) as error:
        cluster.from_environment({"TF_CONFIG": text})
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000
    assert not cluster.is_evaluator({"TF_CONFIG": text})


@pytest.mark.parametrize("host", [".a", "\ud800"])
@pytest.mark.parametrize("index", [0, 1])
def test_a_chief_whose_address_can_never_work_is_refused_at_once(host, index, run_verb):
    environ = _environ({"worker": [f"{host}:5000", "localhost:5001"]}, index=index)
    code, _, stderr = run_verb("vgg_keras.train", "--data_dir=missing", "--output_dir=run", env=environ)
    assert code == 1
    assert "is not an address of the form host:port" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr


@pytest.mark.parametrize("host", ["a", "a.b-c.d.", "my_host", "10.0.0.1", "[::1]", "[fe80::1%eth0]", "b\u00fcro"])
def test_names_and_addresses_of_machines(host):
    assert cluster.from_environment(_environ({"worker": [f"{host}:5000"]})).me.address == f"{host}:5000"


@pytest.mark.parametrize("text", ["", "{}", '{"cluster": {}}', '{"task": {"type": "worker", "index": 0}}'])
def test_without_a_cluster_a_process_works_alone(text):
    assert cluster.from_environment({"TF_CONFIG": text}) is None
    assert cluster.unused_note({"TF_CONFIG": text}) == ""


def test_the_strategy_decides_whether_the_cluster_is_used():
    one, two = _environ({"worker": ["a:1"]}), _environ(_WORKERS)
    assert cluster.choose("auto", environ=one) is None
    assert len(cluster.choose("multi_worker", environ=one).tasks) == 1
    assert len(cluster.choose("auto", environ=two).tasks) == 2
    assert cluster.choose("mirrored", environ={"TF_CONFIG": "["}) is None
    with pytest.raises(UserError, match="needs a Slurm step of several tasks, or the environment variable TF_CONFIG"):
        cluster.choose("multi_worker", environ={})
    with pytest.raises(UserError, match="TF_CONFIG names 2 workers, and --metrics runs in one process"):
        cluster.choose("auto", one_process="--metrics", environ=two)


def test_an_evaluator_has_nothing_to_do(run_verb):
    environ = _environ(_WORKERS, "evaluator")
    assert cluster.is_evaluator(environ)
    assert not cluster.is_evaluator(_environ(_WORKERS))
    code, stdout, _ = run_verb("vgg_keras.train", "--output_dir=run", env=environ)
    assert code == 0
    assert "Leave the evaluator out of the job" in stdout


@pytest.mark.parametrize(
    ("environ", "note"),
    [(_environ(_WORKERS), "TF_CONFIG names 2 workers; this process does not use"), ({"TF_CONFIG": "["}, "works alone")],
)
def test_a_verb_of_one_process_tells_that_it_works_alone(run_verb, environ, note):
    assert note in cluster.unused_note(environ)
    _, _, stderr = run_verb("vgg_keras.features", "--data_dir=missing", "--model=missing", "--output=x", env=environ)
    assert cluster.unused_note(environ) in stderr.splitlines()
    assert "Traceback" not in stderr


def test_a_slurm_step_is_a_cluster():
    environ = {
        "SLURM_STEP_NUM_TASKS": "3",
        "SLURM_STEP_NODELIST": "n[9-10]",
        "SLURM_STEP_TASKS_PER_NODE": "2,1",
        "SLURM_PROCID": "2",
        "SLURM_JOB_ID": "2007",
    }
    found = cluster.from_environment(environ)
    assert (found.source, str(found.me)) == ("Slurm", "worker 2, n10:15112")
    # TF_CONFIG goes first.
    assert cluster.from_environment({**environ, **_environ(_WORKERS)}).source == "TF_CONFIG"
