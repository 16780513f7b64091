"""Tests the sides of a comparison: whole processes, and work in a process of its own."""

import itertools
import os
import sys

import pytest

from benchmarks.harness import sides
from vgg_keras.utils.errors import UserError


def make(first):
    """Returns functions for another process: a counter, one that fails, and one that ends the process."""

    def fail():
        raise UserError(f"process {os.getpid()} fails")

    return {
        "count": itertools.count(first).__next__,
        "process": os.getpid,
        "has_tensorflow": lambda: "tensorflow" in sys.modules,
        "fail": fail,
        "die": lambda: os._exit(9),
    }


@pytest.mark.slow
@pytest.mark.multiprocess
def test_work_in_a_process_of_its_own():
    with sides.in_process(make, 5) as made:
        assert [made["count"](), made["count"]()] == [5, 6]
        other = made["process"]()
        assert other not in (os.getpid(), os.getppid())
        with pytest.raises(UserError, match=f"^process {other} fails$"):
            made["fail"]()
        assert made["count"]() == 7
        assert made["has_tensorflow"]()
        with pytest.raises(UserError, match="a process of the benchmark was ended by the system"):
            made["die"]()


@pytest.mark.multiprocess
def test_a_command_that_ends_with_another_status():
    assert sides.run(("-c", "print(6 * 7)")) == "42\n"
    assert sides.run(("-c", "raise SystemExit(3)"), status=3) == ""
    assert sides.command("-c", "pass")() > 0
    with pytest.raises(UserError, match=r"ended with 1 instead of 0: no photo$"):
        sides.run(("-c", "import sys; sys.exit('one\\nno photo')"))


@pytest.mark.multiprocess
def test_a_process_without_tensorflow_beside_which_another_library_might_not_load():
    with sides.in_process(make, 1, tensorflow=False) as made:
        assert not made["has_tensorflow"]()
