"""The server that forks processes for the tests tells how each of them ended."""

import os

from tests.helpers.nursery import Forked

_END = "import os, sys; os._exit(int(sys.argv[1]))"


def test_ends_at_the_same_time_are_all_told(tmp_path):
    for _ in range(5):
        processes = [Forked(_END, [str(code)], tmp_path, os.environ) for code in range(30)]
        assert [process.wait(timeout=60) for process in processes] == list(range(30))


def test_an_end_is_told_while_others_run(tmp_path):
    sleeping = Forked("import time; time.sleep(600)", [], tmp_path, os.environ)
    assert Forked(_END, ["3"], tmp_path, os.environ).wait(timeout=60) == 3
    assert sleeping.poll() is None
    sleeping.terminate()
    assert sleeping.wait(timeout=60) == -15


def test_what_was_written_is_told_again(tmp_path):
    process = Forked("import sys; print(1); print(2, file=sys.stderr)", [], tmp_path, os.environ)
    assert process.communicate(timeout=60) == process.communicate(timeout=60) == ("1\n", "2\n")
