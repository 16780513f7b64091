"""Tests that freed memory is reused, and that a process that works alone does not read TF_CONFIG."""

import os
import platform
import resource
import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT
from vgg_keras.utils import devices

_FAULTS = """
import resource, sys
import tensorflow  # with all its threads and heaps
from vgg_keras.utils import devices
if sys.argv[1] == "keep":
    devices.keep_freed_memory()
for _ in range(2):  # 64 MB, written and freed
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = bytes([1]) * (64 << 20)
    del block
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


@pytest.mark.multiprocess
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_used_again():
    def faults(how: str) -> int:
        command = [sys.executable, "-c", _FAULTS, how]
        return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)

    # Each page that the kernel has to clear again is a fault; with the setting there are hardly any.
    pages = (64 << 20) // resource.getpagesize()
    assert faults("as it is") > 0.9 * pages
    assert faults("keep") < 0.01 * pages


@pytest.mark.parametrize("strategy", ["one_device", "mirrored"])
@pytest.mark.parametrize(
    "text", ["[", '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}']
)
def test_a_process_that_works_alone_does_not_read_tf_config(monkeypatch, strategy, text):
    monkeypatch.setenv("TF_CONFIG", text)
    made, _ = devices.make_strategy(strategy)
    assert made.num_replicas_in_sync == 1
    assert os.environ["TF_CONFIG"] == text
