"""Tests how a verb runs: help, error messages and exit codes."""

import gc
import subprocess
import sys

import pytest

from tests.helpers.flag_tables import VERBS
from tests.helpers.paths import ROOT
from vgg_keras.utils import cli, errors, help_text
from vgg_keras.utils.options import flag_fields


@pytest.mark.parametrize("verb", VERBS)
def test_help_lists_the_flags_of_the_verb_without_tensorflow(verb):
    # -X importtime lists on stderr every module that the process imports.
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", verb, "--nonsense", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in process.stderr.splitlines()}
    assert "vgg_keras.utils.options" in imported
    assert not {"tensorflow", "keras", "tensorflow_datasets", "matplotlib", "scipy"} & imported
    lines = process.stdout.splitlines()
    for field in flag_fields(VERBS[verb]):
        assert any(line.split()[:1] == [help_text.flag_name(field)] for line in lines), field.name
    assert f"usage: python -m {verb} [--flag=value ...]" in process.stdout
    assert f"  python -m {verb} --" in process.stdout  # an example
    # Flags of the libraries are not mixed in.
    assert "--logtostderr" not in process.stdout
    assert "--tfds" not in process.stdout


def test_the_help_of_train_is_grouped_and_gives_defaults():
    text = help_text.help_text("python -m vgg_keras.train", "Trains.", VERBS["vgg_keras.train"])
    headings = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        "data:", "net:", "optimization:", "transfer:", "devices:", "run:", "every verb:",
    ]  # fmt: skip
    flat = " ".join(text.split())
    assert "--output_dir the run's folder [required]" in flat
    assert "--momentum momentum of sgd [0.9]" in flat
    assert "--strict fail if a layer of --init_from is missing, unexpected or of another shape [false]" in flat


@pytest.mark.multiprocess
def test_a_verb_opens_without_notes_of_the_libraries(run_verb):
    code, stdout, stderr = run_verb("vgg_keras.predict", "--model=absent", "absent.jpg", anew=True)
    assert (code, stdout) == (1, "")
    assert (
        stderr == "error: absent.jpg: no photo found; name a file, a folder of photos, or a pattern that matches some\n"
    )


@pytest.mark.multiprocess
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--flagfile=absent.cfg"], "error: flag file absent.cfg not found"),
        (["--output_dir=x", "--output_dir=y"], "error: --output_dir is given twice, as x and as y; it takes one"),
        (["--output_dir=x", "stray"], "error: unexpected argument: stray"),
        (["--output_dir=x", "--data_dir=absent"], "error: --data_dir=absent does not exist"),
        (["--output_dir=x", "--train_scale=100"], "error: --train_scale=100 must be one side"),
        (["--output_dir=x", "--init_from=absent.keras", "--dataset=drawn_flowers"], "error: absent.keras is missing"),
        ([], "--output_dir"),
    ],
)
def test_bad_input_gives_one_line_and_a_non_zero_exit(run_verb, arguments, message):
    code, _, stderr = run_verb("vgg_keras.train", *arguments, anew=True)
    assert code != 0
    assert message in stderr
    assert "Traceback" not in stderr


def test_reasons_leave_tensorflows_names_out():
    error = ValueError(
        "{{function_node __wrapped__DecodeImage_device_/job:x/CPU:0}} Unknown format. [Op:DecodeImage]\nmore"
    )
    assert errors.reason(error) == "Unknown format."
    assert errors.reason(ValueError()) == "ValueError"


def test_the_disk_is_full():
    for error in (OSError(28, "No space left on device"), RuntimeError("x; No space left on device")):
        assert errors.explain(error).startswith("the disk is full")
    assert errors.explain(RuntimeError("a bug")) is None


@pytest.mark.multiprocess
def test_the_python_api_loads_tensorflow_when_it_is_first_used_and_without_notes():
    script = (
        "import sys, vgg_keras as vgg; assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules;"
        "assert 'build' in dir(vgg) and vgg.__version__;"
        "print(vgg.vgg11(input_shape=(32, 32, 3), width_multiplier=1 / 16).name, 'tensorflow' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (process.returncode, process.stdout, process.stderr) == (0, "vgg_a True\n", "")


def test_help_in_a_narrow_terminal(monkeypatch):
    for columns in (1, 20, 61):
        monkeypatch.setenv("COLUMNS", str(columns))
        text = help_text.help_text("python -m x", "Trains.", VERBS["vgg_keras.train"])
        assert max(len(line) for line in text.splitlines() if line.startswith("  --")) <= max(columns, 60)


@pytest.mark.multiprocess
@pytest.mark.parametrize(
    ("arguments", "code", "out", "err"),
    [
        (["vgg_keras", "tarin"], 1, "", "error: tarin is not an argument of python -m vgg_keras, which lists"),
        (["vgg_keras.report", "--verbosity", "0", "--evaluations_dir=x"], 1, "", "error: --evaluations_dir=x is not"),
        (["vgg_keras.report", "--verbosity=x"], 1, "", "error: --verbosity=x must be a whole number, such as 0\n"),
        (["vgg_keras.report", "--flagfile=flags.cfg"], 0, "Collects evaluations into the paper's tables", ""),
    ],
)
def test_flags_of_every_verb(arguments, code, out, err, run_verb, tmp_path):
    (tmp_path / "flags.cfg").write_text("--verbosity=0 --help\n")
    found, stdout, stderr = run_verb(*arguments, anew=True)
    assert (found, stdout.startswith(out), stderr.startswith(err)) == (code, True, True), stderr


@pytest.mark.multiprocess
def test_a_closed_pipe_is_no_error():
    script = f"{sys.executable} -m vgg_keras.train --help | head -1; exit ${{PIPESTATUS[0]}}"
    process = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert "Traceback" not in process.stderr
    assert process.stdout == "Trains a net with the paper's procedure (arXiv:1409.1556, sect. 3.1).\n"


def test_no_garbage_is_collected_while_libraries_load():
    with cli.loading_libraries():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with cli.loading_libraries():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_a_verb_has_loaded_is_not_searched_for_garbage_at_its_end():
    code = (
        "import atexit, gc, sys; atexit.register(lambda: print(gc.get_freeze_count() > 0, file=sys.stderr))\n"
        "from vgg_keras import report; sys.argv[1:] = ['--help']; report.run()"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "True\n")
