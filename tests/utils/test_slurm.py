"""Tests the reading of Slurm's variables."""

import pytest

from vgg_keras.utils import slurm
from vgg_keras.utils.errors import UserError

_STEP = {
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NODELIST": "n[9-10],gpu1",
    "SLURM_STEP_TASKS_PER_NODE": "1(x2),2",
    "SLURM_PROCID": "3",
    "SLURM_NODEID": "2",
    "SLURM_JOB_ID": "1000001",
}


def test_the_tasks_keep_slurms_order_and_have_a_port_each():
    # Job 1000001 has the ports from 15000 + 16 * (1000001 mod 1000) on.
    step = slurm.read_step(_STEP)
    assert step == slurm.Step(("n9:15016", "n10:15016", "gpu1:15016", "gpu1:15017"), 3)


@pytest.mark.parametrize("environ", [{}, {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0"}, {"SLURM_STEP_NUM_TASKS": "1"}])
def test_outside_of_a_step_of_several_tasks_there_is_none(environ):
    assert slurm.read_step(environ) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"SLURM_PROCID": "x"}, "malformed"),
        ({"SLURM_PROCID": "4"}, "contradict each other: rank 4 of 4"),
        ({"SLURM_STEP_NODELIST": "n[9-"}, r"'n\[9-' is not a list of nodes"),
        ({"SLURM_STEP_TASKS_PER_NODE": "two"}, "'two' is not a list of numbers of tasks"),
        ({"SLURM_STEP_TASKS_PER_NODE": "2,2"}, "contradict each other"),
        ({"SLURM_NODEID": "0"}, "--distribution=block"),
        ({"SLURM_NODEID": "x"}, "malformed: SLURM_NODEID: 'x' is not a whole number"),
        ({"SLURM_NODEID": ""}, "malformed: SLURM_NODEID: '' is not a whole number"),
        ({"SLURM_NODEID": "3"}, "contradict each other: rank 3 of 4 tasks on the node of index 3"),
        ({"SLURM_STEP_NODELIST": "a,b,a"}, "SLURM_STEP_NODELIST: 'a,b,a' names a 2 times"),
        ({"SLURM_STEP_NODELIST": "n[1,1-2]"}, r"'n\[1,1-2\]' names n1 2 times"),
        ({"SLURM_STEP_NODELIST": ".a,b,c"}, "'.a' cannot be the name of a machine"),
        # What would fill the memory, and what `str.isdigit` or `int` take for something else.
        ({"SLURM_STEP_NODELIST": "n[1-999999999]"}, r"'n\[1-999999999\]' names 999,999,999, more than the 65,536"),
        ({"SLURM_STEP_NODELIST": "n[1-999][1-999]"}, "names 998,001, more than the 65,536"),
        ({"SLURM_STEP_NODELIST": ",".join(["n[1-60000]"] * 9)}, "names 540,000, more than"),
        ({"SLURM_STEP_NODELIST": f"n[{'0' * 90_000}1-9]"}, "000.*' is not a whole number"),
        ({"SLURM_STEP_TASKS_PER_NODE": "1(x999999999)"}, "names 999,999,999, more than"),
        ({"SLURM_STEP_TASKS_PER_NODE": "999999999"}, "names 999,999,999, more than"),
        ({"SLURM_STEP_TASKS_PER_NODE": f"{'1' * 5000}"}, "111.*' is not a whole number"),
        ({"SLURM_PROCID": "\u00b2"}, "is not a whole number"),
        ({"SLURM_PROCID": "1_0"}, "'1_0' is not a whole number"),
    ],
)
def test_variables_that_do_not_fit(change, message):
    with pytest.raises(UserError, match=message) as error:
        slurm.read_step({**_STEP, **change})
    assert len(str(error.value)) < 500


def test_a_missing_variable_is_named():
    with pytest.raises(UserError, match="SLURM_STEP_NODELIST is missing"):
        slurm.read_step({name: value for name, value in _STEP.items() if name != "SLURM_STEP_NODELIST"})


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("localhost", ["localhost"]),
        ("n[08-10]", ["n08", "n09", "n10"]),
        ("a,n[1,3-4],b", ["a", "n1", "n3", "n4", "b"]),
        ("r[0-1]c[3]-ib", ["r0c3-ib", "r1c3-ib"]),
    ],
)
def test_lists_of_nodes(text, nodes):
    assert slurm.expand_nodes(text) == nodes
