"""Tests that a verb that is killed again and again ends as one that is not, and never leaves half a file.

Each scenario runs once to its end, and once more in a chain: it is killed by SIGKILL at a random operation on a file,
and the same command goes on, until it has been killed often enough. Two kills are enough in every run of the tests;
the mark `fuzz` makes them twenty.
"""

import numpy as np
import pytest

from tests.helpers.killing import half_written, run_counted
from tests.helpers.scenarios import SCENARIOS

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess]


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.fuzz)])
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_again_and_again_a_verb_ends_as_if_it_had_not_been(name, kills, inputs, tmp_path):
    scenario = SCENARIOS[name]
    arguments = scenario.arguments(inputs)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    operations = run_counted(0, scenario.verb, arguments, whole)
    assert operations
    rng = np.random.default_rng([kills, *name.encode()])
    for _ in range(kills):
        # What goes on has less left to do, and may end before its turn to be killed comes.
        run_counted(int(rng.integers(1, operations + 1)), scenario.verb, arguments, killed)
        assert half_written(killed) == []
    run_counted(0, scenario.verb, arguments, killed)
    assert half_written(killed) == []
    assert scenario.result(killed) == scenario.result(whole)
