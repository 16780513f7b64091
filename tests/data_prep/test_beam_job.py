"""Tests the process that runs Apache Beam: errors, deaths, and that nothing outlives the process that leads it.

The work is another one than Beam's, so that these tests need no Beam.
"""

import functools
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from data_prep.beam_job import BeamJob
from tests.helpers import beam_work
from tests.helpers.paths import ROOT
from tests.helpers.processes import wait_for_end
from vgg_keras.utils.errors import UserError

pytestmark = pytest.mark.multiprocess


def run(work, *arguments):
    with BeamJob(functools.partial(work, *arguments)) as job:
        job.wait()
        assert not job.is_running()


def test_work_that_ends():
    run(beam_work.succeed)


# As Beam tells the error of a worker: its traceback, and the step of the pipeline.
_TRACEBACK = """Traceback (most recent call last):
  File "task_files.py", line 1, in do_task
vgg_keras.utils.errors.UserError: /out is not there on host7: every worker must see it [while running 'WriteParts']

"""


# As a runner in Java tells of an error.
_JAVA = """Pipeline BeamApp failed in state FAILED: java.lang.RuntimeException: failed
\tat org.apache.beam.Runner.run(Runner.java:99)
Caused by: java.io.IOException: no space left
\tat java.base/java.lang.Thread.run(Thread.java:829)
\t... 12 more
"""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("the text"), r"^the text$"),
        (
            RuntimeError(_TRACEBACK),
            r"^the Beam pipeline has failed \(/out is not there on host7: every worker must see it\);",
        ),
        (ValueError("first\nlast"), r"^the Beam pipeline has failed \(last\); --verbosity=0 shows what Beam logs$"),
        (RuntimeError(_JAVA), r"^the Beam pipeline has failed \(Caused by: java\.io\.IOException: no space left\);"),
        (beam_work.RpcError("failed to connect"), r"^the Beam pipeline has failed \(failed to connect\); --verb"),
        (KeyError(), r"\(KeyError\)"),
        (SystemExit(2), r"\(2\)"),
    ],
)
def test_an_error_is_one_line(error, message):
    with pytest.raises(UserError, match=message):
        run(beam_work.fail, error)


def test_beam_writes_nothing_to_the_terminal(tmp_path, capfd):
    run(beam_work.say, tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("exit_status", "message"),
    [
        (
            137,
            r"^a worker process was killed, most likely .* fewer processes, direct_num_workers=N in --beam_options$",
        ),
        (3, r"^a worker process has ended by itself \(exit status 3\); --verbosity=0 shows what Beam logs$"),
    ],
)
def test_a_worker_that_beam_waits_for_in_vain(exit_status, message):
    with pytest.raises(UserError, match=message):
        run(beam_work.lose_worker, exit_status)


def test_the_process_itself_is_killed():
    with pytest.raises(UserError, match=r"^the process that runs Beam was killed, most likely by the system"):
        run(beam_work.die, signal.SIGKILL)


def test_the_end_of_the_context_cancels_the_job_and_ends_what_was_started(tmp_path):
    with BeamJob(functools.partial(beam_work.start_and_wait, tmp_path)) as job:
        while not (tmp_path / "ready").exists():
            assert job.is_running()
            time.sleep(0.01)
    assert (tmp_path / "cancelled").exists()
    check_ended(tmp_path)


# Leads a job, whose processes tell their numbers by files.
_LEADER = """
    import functools, sys
    from pathlib import Path
    from data_prep.beam_job import BeamJob
    from tests.helpers import beam_work

    if __name__ == "__main__":
        with BeamJob(functools.partial(beam_work.start_and_wait, Path(sys.argv[1]))) as job:
            job.wait(600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_leading_process(tmp_path, how):
    script = tmp_path / "lead.py"
    script.write_text(textwrap.dedent(_LEADER))
    (tmp_path / "processes").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, script, tmp_path / "processes"]
    leader = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "processes" / "ready").exists():
        assert leader.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if how == signal.SIGINT:  # as a terminal does, which reaches all of a group
        os.killpg(leader.pid, how)
    else:
        leader.send_signal(how)
    leader.communicate(timeout=60)
    check_ended(tmp_path / "processes")
    assert (tmp_path / "processes" / "cancelled").exists()


def check_ended(folder):
    processes = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
    assert len(processes) == 2
    for process in processes:
        wait_for_end(process)
