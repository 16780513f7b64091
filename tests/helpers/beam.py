"""Runs tests that need Apache Beam where it is installed, and skips them, with the reason, where it is not."""

import importlib.util

import pytest

needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None,
    reason="Apache Beam is not installed: pip install 'vgg_keras[beam]'",
)
# Two processes of this machine, as flags.
DIRECT_RUNNER = (
    "--beam_runner=DirectRunner",
    "--beam_options=direct_num_workers=2,direct_running_mode=multi_processing",
)
