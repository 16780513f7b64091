"""Tests that the commands that are shown to users survive a shell."""

import doctest
import shlex
import subprocess

import pytest

from vgg_keras.utils import shell


def test_the_examples():
    assert doctest.testmod(shell) == (0, 2)


@pytest.mark.parametrize("value", ["plain/path", "my photos", "Blüten", "it's", '"', "$HOME", "a;b", "*", "~/x", ""])
def test_a_shell_passes_values_on_unchanged(value):
    command = shell.command("package.verb", source_dir=value, number=3)
    expected = ["python", "-m", "package.verb", f"--source_dir={value}", "--number=3"]
    assert shlex.split(command) == expected
    script = f"python() {{ printf '%s\\n' \"$@\"; }}; {command}"
    printed = subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True).stdout
    assert printed.splitlines() == expected[1:]
