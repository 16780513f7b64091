"""Tests how the flags of Apache Beam are read and checked."""

import json
import re
import subprocess
import sys

import pytest

from data_prep.beam_options import as_arguments, new_pipeline
from data_prep.builder import PrepareOptions
from tests.helpers.beam import needs_beam
from tests.helpers.paths import ROOT
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import parse


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ("", []),
        ("direct_num_workers=2,streaming", ["--direct_num_workers=2", "--streaming"]),
        (" --job_name=a-b , project=x=y,", ["--job_name=a-b", "--project=x=y"]),
        ('{"parallelism": 4, "streaming": true, "no_auth": false}', ["--parallelism=4", "--streaming"]),
        ('{"experiments": ["a,b", "c"]}', ["--experiments=a,b", "--experiments=c"]),
        ('{"environment_config": {"command": "/opt/boot"}}', ['--environment_config={"command": "/opt/boot"}']),
    ],
)
def test_options_as_beam_takes_them(options, arguments):
    assert as_arguments(options) == arguments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "direct_num_workers 2",
            r"--beam_options='direct_num_workers 2': 'direct_num_workers 2' is no option; write name",
        ),
        ("a=1,=2", r"'=2' is no option"),
        ('{"a": 1', r"begins as a JSON object, and is none: "),
        ('{"a": null}', r"a is null, which is no value of an option"),
        ('{"a": [[1]]}', r"a is \[\[1\]\], which is no value of an option"),
        ("runner=FlinkRunner", r"names a runner: give it as --beam_runner"),
    ],
)
def test_texts_that_are_no_options(options, message):
    with pytest.raises(UserError, match=message):
        PrepareOptions(output_dir="out", beam_runner="DirectRunner", beam_options=options)


def test_options_in_python_may_be_a_dictionary():
    options = PrepareOptions(output_dir="out", beam_runner="DirectRunner", beam_options={"direct_num_workers": 2})
    assert json.loads(options.beam_options) == {"direct_num_workers": 2}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--beam_options=direct_num_workers=2"],
            "--beam_options=direct_num_workers=2 has no effect without --beam_runner",
        ),
        (
            ["--beam_runner=DirectRunner", "--num_workers=4"],
            "--num_workers=4 is for the processes of this machine .* --beam_options=direct_num_workers=N,",
        ),
    ],
)
def test_flags_that_contradict_each_other(flags, message):
    with pytest.raises(UserError, match=message):
        parse(["--output_dir=out", *flags], PrepareOptions)


def test_beam_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UserError, match=r"--beam_runner=DirectRunner needs more packages .*'vgg_keras\[beam\]'"):
        new_pipeline("DirectRunner", "")


# What Beam says to a runner and its options, by these; "" if it accepts them.
_ANSWERS = {
    ("DirectRunner", "direct_num_worker=2"): r"direct_num_worker is no option .*; did you mean direct_num_workers\?",
    (
        "DirectRunner",
        "direct_num_workers=two",
    ): r"--beam_options=direct_num_workers=two: argument --direct_num_workers: ",
    ("DirectRunner", "direct_running_mode=threads"): r"invalid choice: 'threads'",
    ("FlinkRuner", ""): r"--beam_runner=FlinkRuner: no such runner; did you mean FlinkRunner\?",
    ("no.such.Runner", ""): r"--beam_runner=no.such.Runner: No module named 'no'",
    ("direct", "direct_num_workers=2,direct_running_mode=multi_processing"): "^$",
    # Its job server may know more options than Beam's Python package.
    ("FlinkRunner", '{"flink_master": "localhost:8081", "parallelism": 4, "some_option_of_the_server": "x"}'): "^$",
    ("SparkRunner", "spark_master_url=spark://host:7077"): "^$",
}
# Asks Beam in one process, since its import takes seconds.
_ASK = """
import json, sys
from data_prep.beam_options import new_pipeline
from vgg_keras.utils.errors import UserError

def answer(runner, options):
    try:
        new_pipeline(runner, options)
    except UserError as error:
        return str(error)
    return ""

print(json.dumps([answer(*question) for question in json.loads(sys.argv[1])]))
"""


@needs_beam
@pytest.mark.multiprocess
def test_what_beam_accepts_and_refuses():
    command = [sys.executable, "-c", _ASK, json.dumps(list(_ANSWERS))]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    answers = json.loads(process.stdout.splitlines()[-1])
    assert len(answers) == len(_ANSWERS)
    for answer, expected in zip(answers, _ANSWERS.values(), strict=True):
        assert re.search(expected, answer)
        assert "\n" not in answer


@needs_beam
@pytest.mark.multiprocess
def test_a_bad_option_is_refused_before_the_photos_are_listed(tmp_path):
    options = PrepareOptions(
        output_dir=str(tmp_path / "out"), beam_runner="DirectRunner", beam_options="direct_num_worker=2"
    )
    with pytest.raises(UserError, match="did you mean direct_num_workers"):
        options.check_outputs()
    assert list(tmp_path.iterdir()) == []
