"""Tests the README and the documentation: command lines, flags, examples of Python, and what the pages load."""

import contextlib
import dataclasses
import io
import re
import subprocess
import sys

import keras
import pytest

import vgg_keras
from benchmarks.__main__ import BenchmarksOptions
from tests.helpers import documentation, flag_tables, rest_server, spelling
from tests.helpers.evaluation_data import CLASSES, SIZES, photo, save_net
from tests.helpers.images import encode, picture
from tests.helpers.paths import ROOT
from vgg_keras.serving import exporter
from vgg_keras.serving.client import local_server
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils.options import parse

COMMANDS = documentation.commands()
# Flags of absl, those in `--name=value`, by which the page of flags explains how flags are written, and those of
# TensorFlow Serving.
OTHER_FLAGS = {
    "flagfile",
    "help",
    "verbosity",
    "name",
    "noname",
    "requeue",
    "enable_batching",
    "monitoring_config_file",
}
# Documented already; their command lines are checked once they are here.
EXPECTED_CONFIGS = ("configs/my_photos.cfg", "configs/my_boxes.cfg")


def block(word):
    """Returns the documentation's only block of Python that contains a word."""
    (found,) = [block.code for block in documentation.blocks("python") if word in block.code]
    return found


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command.page.name}-{command.verb}")
def test_command_lines_parse(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    for config in EXPECTED_CONFIGS:
        if f"--flagfile={config}" in command.arguments and not (ROOT / config).exists():
            pytest.skip(f"{config} is not here yet")
    options = parse(command.arguments, flag_tables.VERBS[command.verb])
    if hasattr(options, "validate"):
        options.validate()


def test_the_way_from_photos_with_boxes_to_boxes_on_photos_is_whole():
    page, _, code = next(block for block in documentation.blocks("bash") if block.page.name == "localization.md")
    made = set()
    verbs = []
    for _, _, verb, *arguments in documentation.simple_commands(code):
        flags = dict(argument[2:].split("=", 1) for argument in arguments if "=" in argument)
        # Every data set and every net comes from a command above.
        assert {flags[name] for name in ("data_dir", "model", "classifier") if name in flags} <= made, (page, verb)
        assert flags.get("output_dir") not in made
        made.add(flags.get("output_dir"))
        verbs.append(verb.partition(".")[2])
    assert verbs == ["voc", "verify", "train", "train", "evaluate", "evaluate", "predict"]


def test_the_table_of_recipes_has_what_their_flag_files_choose(monkeypatch):
    monkeypatch.chdir(ROOT)
    names = ("flowers_recipe", "my_photos", "flowers_transfer")
    configs = [parse([f"--flagfile=configs/{name}.cfg"], TrainConfig) for name in names]
    table = re.findall(r"^\| `--(\w+)` \|(.*)\|(.*)\|(.*)\|$", documentation.text("fine-tuning.md"), re.MULTILINE)
    # The first word of each cell, in backticks, is the value; "none" is an empty one.
    values = {flag: [re.match(r" (?:`(\S*)`|none)", cell)[1] or "" for cell in cells] for flag, *cells in table}
    where_they_lie = {"flagfiles", "data_dir", "output_dir", "checkpoint_every", "keep_checkpoints"}
    for field in dataclasses.fields(TrainConfig):
        chosen = [getattr(config, field.name) for config in configs]
        if field.name not in where_they_lie and len(set(chosen)) > 1:
            assert [type(value)(cell) for value, cell in zip(chosen, values.pop(field.name), strict=True)] == chosen
    assert values == {}


def test_one_spelling():
    wrong = [path.relative_to(ROOT).as_posix() for path, _ in spelling.misspelt()]
    assert wrong == [], "run: python -m tests.helpers.spelling"


def test_what_the_spelling_changes_and_what_it_leaves():
    for right in ("LOCALIZER", "un-normalized", "Deserializes", "optimization"):
        assert spelling.corrected(right.replace("z", "s").replace("Z", "S")) == right
    left = "Promise a precise analysis; `is_localised`, normalise(x), PRE_INITIALISED and x.summarise"
    assert spelling.corrected(left) == left
    code, right = "f = {} + 1  # {}\nprint('it {}s', {})\n", "recognize"
    name = right.replace("z", "s")
    assert spelling.corrected_code(code.format(*[name] * 4)) == code.format(name, right, right, name)


def test_every_verb_is_documented():
    assert {command.verb for command in COMMANDS if command.page.name == "README.md"} == set(flag_tables.VERBS)


@pytest.mark.parametrize("page", documentation.pages(), ids=lambda page: page.name)
def test_flags_in_the_text_exist(page):
    documented = [*flag_tables.VERBS.values(), BenchmarksOptions]
    known = {field.name for options in documented for field in dataclasses.fields(options)}
    known |= {f"no{name}" for name in known} | OTHER_FLAGS
    assert documentation.inline_flags(page) - known == set()


def test_every_promise_has_its_test():
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8"))
    assert len(named) > 5
    for path, test in named:
        assert f"\ndef {test}(" in (ROOT / path).read_text(encoding="utf-8"), (path, test)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("CHANGELOG.md", "\n## [{}] - "),
        ("CITATION.cff", "\nversion: {}\n"),
        ("README.md", "\n  version = {{{}}},\n"),
    ],
)
def test_the_version_is_named(file, text):
    assert text.format(vgg_keras.__version__) in (ROOT / file).read_text()


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_examples_of_python_compile():
    for page, _, code in documentation.blocks("python"):
        compile(code, str(page), "exec")


def test_the_package_exports_what_the_examples_use():
    for page, _, code in documentation.blocks("python"):
        if "import vgg_keras as vgg" in code:
            names = set(re.findall(r"\bvgg\.(\w+)", code))
            assert names, page
            assert {name for name in names if not hasattr(vgg_keras, name)} == set(), page


def test_reading_command_lines():
    script = """# A comment: python -m vgg_keras.train
export A='{"b": [1, 2]}' && python -m x.y --a='b > c' \\
    --d=(e)  # another
echo "f $(g h)" | curl -d @- http://host:1/i
"""
    assert list(documentation.simple_commands(script)) == [
        ["export", 'A={"b": [1, 2]}'],
        ["python", "-m", "x.y", "--a=b > c", "--d="],
        ["e"],
        ["echo", "f $(g h)"],
        ["curl", "-d", "@-", "http://host:1/i"],
    ]


@pytest.mark.slow
def test_pages_load_nothing_from_another_host(tmp_path):
    pytest.importorskip("material", reason="the documentation's packages are not installed: pip install '.[docs]'")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", f"--site-dir={tmp_path}"]
    process = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 10
    # Links in the text may lead anywhere; scripts, styles, pictures and frames may not.
    loads = re.compile(r"""<(?:script|img|iframe|source|link)\b[^>]*?(?:src|href)=["']?((?:https?:)?//[^"' >]+)""")
    assert {url for page in pages for url in loads.findall(page.read_text(encoding="utf-8"))} == set()
    # With it the theme's script would ask api.github.com for the repository's stars.
    assert not [page for page in pages if 'data-md-component="source"' in page.read_text(encoding="utf-8")]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Makes a working folder with a run in runs/flowers, and changes to it."""
    save_net("A", tmp_path / "runs" / "flowers")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_reuse_in_plain_keras(place):
    for index in range(12):
        folder = place / "photos" / ("blue", "red")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index}.jpg").write_bytes(photo(index, (80, 70)))
    code = block("block5_pool")
    assert "vgg_keras" not in re.sub(r"#.*", "", code)
    exec(compile(code, "documentation", "exec"), {})
    reused = keras.saving.load_model(place / "my_photos.keras")
    assert reused.output_shape == (None, 2)
    # The trunk is unchanged; the head was trained.
    source = keras.saving.load_model(place / "runs" / "flowers" / "best.keras")
    for layer in ("block1_conv1", "block5_conv2"):
        for before, after in zip(
            source.get_layer(layer).get_weights(), reused.get_layer(layer).get_weights(), strict=True
        ):
            assert (before == after).all()
    assert reused.layers[-1].get_weights()[1].any()


@pytest.mark.multiprocess
def test_a_client_of_the_server(place):
    (place / "runs" / "flowers" / "label_names.txt").write_text("".join(f"kind {name}\n" for name in CLASSES))
    photos = [photo(index, size) for index, size in enumerate(SIZES[:2])]
    version = exporter.export(place / "runs" / "flowers" / "best.keras", place / "saved_models" / "flowers", photos)
    (place / "photo.jpg").write_bytes(photos[0])
    (place / "another.png").write_bytes(encode(picture(70, 90), format="PNG"))
    code, printed = block("urllib"), io.StringIO()
    assert "http://localhost:8501" in code
    with (
        local_server(version, "flowers") as client,
        rest_server.serving(client, "flowers") as url,
        contextlib.redirect_stdout(printed),
    ):
        exec(compile(code.replace("http://localhost:8501", url), "documentation", "exec"), {})
    line = r" kind [a-f] 0\.\d+\n"
    assert re.fullmatch(rf"photo\.jpg{line}another\.png{line}", printed.getvalue())


@pytest.mark.slow
@pytest.mark.parametrize(("page", "word"), [("README.md", "descriptors for another"), ("api.md", "keras_model = ")])
def test_the_python_api_as_documented(page, word, place, capsys):
    (place / "runs" / "flowers").rename(place / "runs" / "quickstart")
    (place / "photo.jpg").write_bytes(photo(1, (90, 80)))
    (place / "another.png").write_bytes(encode(picture(70, 90), format="PNG"))
    (code,) = [block.code for block in documentation.blocks("python") if block.page.name == page and word in block.code]
    # The training of a whole net is left out. The net of the test has another scale than that of the quickstart.
    code = code.partition("result = ")[0].replace('test_scales="256"', "test_scales=(64, 96)")
    names: dict = {}
    exec(compile(code, page, "exec"), names)
    assert names["vectors"]["fc7"].shape == (1, 256)
    assert names["score_map"].scores.shape[2] == len(CLASSES)
    assert "class 0" in capsys.readouterr().out
