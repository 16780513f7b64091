"""Tests that every module is in its listed room, and that imports run one way: utils < data < models < ... < verbs."""

import ast
import configparser
import importlib
import re
import subprocess
import sys

import pytest

from tests.helpers import import_graph
from tests.helpers.paths import ROOT
from vgg_keras.utils import verb_list

# Every module of every room, from the lowest level up. A room may only import rooms of lower levels.
LEVELS = (
    {"vgg_keras.version": ()},
    {
        "vgg_keras.utils": "arithmetic array_files average_precision background channel child_processes cli cluster "
        "connection console devices display early_signals errors escaping file_bounds files "
        "flagfiles folder_layout hardware help_text hosts keras_backend keras_compat last_word "
        "locks meeting metrics optional_imports options paths resumable_array service_address "
        "shared_folder shell side_files slurm stopping structures teamwork verb_list watchdog "
        "words work_items",
    },
    {
        "vgg_keras.data": "box_records boxed_split boxes builders class_folders data_service datasets decoding_check "
        "decoding_memory device_augmentation imagenet input_pipeline jpeg_segments labels manifest "
        "object_names odd_formats photo_decoding photo_files pixel_boxes record_features "
        "record_index resampling resized_crops rgb_statistics service_servers shards "
        "tfrecord_frames tracing transforms untuned"
    },
    {
        "data_prep": "__main__ archives beam_job beam_options beam_pool builder croissant flowers folder_checks "
        "image_folder image_preparation imagenet imagenet_boxes objects parts pieces plan pools "
        "preparation_record records shared_photos sources space stored_formats summary synthetic_flowers task_files "
        "tfrecords unfinished verify voc voc_action_sets voc_actions voc_layout voc_xml workers",
        "vgg_keras.models": "architectures box_regression checkpoint_files class_outputs class_scores "
        "fully_convolutional input_map layers metadata plain_chain preparation probe run_record "
        "saving vgg",
    },
    {
        "vgg_keras.training": "all_reduce checkpoints config curves event_log feature_cache freezing inputs "
        "keras_metrics messages objectives one_pass optimizers pictures progress resuming run_dir "
        "run_log schedules snapshots train_step trainer workers",
        "vgg_keras.weights": "assembly formats inert_pickle keras_hdf5 keras_models safetensors torch_pickle "
        "torchvision transfer",
        "vgg_keras.inference": "batch_predict box_merging box_positions box_predictions descriptors explanations "
        "image_inputs loading localizer object_finder passes posteriors predictions predictor "
        "protocol score_maps views",
        "vgg_keras.layers": (),
    },
    {
        "vgg_keras.evaluation": "box_evaluator box_figures box_highlights box_report box_results box_tables "
        "calibration classifier_names comparison error_interval evaluator figures findings highlights "
        "image_sets layout linear_records linear_svm markdown_report mistakes other_results "
        "paired published published_boxes published_descriptors random_splits records "
        "reliability_diagram results saved_boxes saved_posteriors split_results tables "
        "voc_results",
        "vgg_keras.serving": "agreement card_metadata check_photos checks client evaluated_export exif_orientation "
        "export_record export_steps exported_model exporter found_export image_headers "
        "local_server localizer_exporter model_card onnx_export photo_batches preprocessing "
        "questions runtime_export servable served_localizer tflite_export versions warmup",
    },
    {
        "vgg_keras.reports": "box_sections evaluation_sections page pages pictures run_sections shown_run templates",
    },
    {
        "vgg_keras.tasks": "class_choice conversion data_serving demo_options description descriptor_tables "
        "evaluation evaluation_folder example_photos exporting features_options localization "
        "options paper_tables prediction random_split_classification reproduction results "
        "run_reports serving_check shared_options suites temperature tested_models training "
        "training_step voc_classification",
    },
    {
        "vgg_keras.api": "explanation exported_model functions keras_file_model loading nets score_map "
        "trained_localizer trained_model"
    },
    {
        "vgg_keras.demo_page": "content_policy fragments guarded_page main_thread offline_gradio page serving subject "
        "views",
    },
    {
        "vgg_keras": (),
        "vgg_keras.__main__": (),
        **{f"vgg_keras.{verb}": () for verb in verb_list.VERBS["vgg_keras"]},
    },
    {
        "benchmarks": "__main__ all_reduce data_preparation dense_evaluation dense_inference epoch_end epoch_resume "
        "fixed_cost "
        "harness harness.definitions harness.environment harness.links harness.load harness.materials harness.ratios "
        "harness.report harness.runner harness.sides harness.suite input_pipeline memory_reuse optimizer_step "
        "serving_batches serving_precision training_step whole_commands",
    },
)
LEVEL_OF = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
LISTED = {
    *LEVEL_OF,
    *(f"{room}.{name}" for rooms in LEVELS for room, names in rooms.items() if names for name in names.split()),
}
VERBS = {f"{package}.{verb}" for package, names in verb_list.VERBS.items() for verb in names}
# The only rooms that may import data_prep: one draws the embedded data set, the other measures.
MAY_IMPORT_DATA_PREP = {"vgg_keras.tasks", "benchmarks"}


def violations(imports: import_graph.Graph) -> list[str]:
    """Returns the imports between modules that run against the order of the levels."""

    def allowed(module: str, needed: str) -> bool:
        room, needed_room = import_graph.room_of(module), import_graph.room_of(needed)
        if room == needed_room:
            return True
        lower = LEVEL_OF[needed_room] < LEVEL_OF[room]
        return lower and (needed_room != "data_prep" or room in MAY_IMPORT_DATA_PREP)

    edges = [(module, needed) for module, needs in imports.items() for needed in sorted(needs)]
    return [f"{module} imports {needed}" for module, needed in edges if not allowed(module, needed)]


def test_every_module_stands_in_a_listed_room():
    modules = import_graph.find_modules(ROOT).keys()
    assert sorted(modules - LISTED) == [], "modules that LEVELS does not list"
    assert sorted(LISTED - modules) == [], "modules that LEVELS lists and that are missing"


def test_imports_run_one_way():
    assert violations(import_graph.module_imports(ROOT)) == []


@pytest.mark.parametrize(
    ("module", "needed"),
    [
        ("vgg_keras.utils.files", "vgg_keras.data.labels"),  # backwards
        ("vgg_keras.training.trainer", "vgg_keras.inference.views"),  # sideways
        ("vgg_keras.weights.formats", "vgg_keras.train"),  # a verb
        ("vgg_keras.serving.exporter", "data_prep.builder"),
        ("data_prep.builder", "vgg_keras.models.vgg"),
    ],
)
def test_an_import_against_the_order_is_found(module, needed):
    allowed = {"vgg_keras.tasks.training": {"data_prep.builder"}, "vgg_keras.data.datasets": {"vgg_keras.utils.cli"}}
    assert violations({**allowed, module: {needed}}) == [f"{module} imports {needed}"]


def test_no_cycle_between_modules():
    assert import_graph.find_cycle(import_graph.module_imports(ROOT)) == []
    assert import_graph.find_cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"e"}, "e": set()}) == ["a", "b", "c"]


def test_nobody_imports_a_verb():
    imports = import_graph.module_imports(ROOT)
    assert [(module, verb) for module, needs in imports.items() for verb in needs & VERBS] == []


def test_only_the_command_line_touches_absl_flags():
    modules = import_graph.find_modules(ROOT)
    users = [module for module, path in modules.items() if "from absl" in path.read_text()]
    assert users == ["vgg_keras.utils.cli", "vgg_keras.utils.options"]


def test_one_module_alone_makes_tables_and_one_other_writes_csv():
    # So that no text of a user is taken for markup, for a formula, or for an order to the terminal.
    modules = import_graph.find_modules(ROOT)
    texts = {module: path.read_text(encoding="utf-8") for module, path in modules.items()}
    assert [module for module, text in texts.items() if re.search(r"^\s*(import|from) rich\b", text, re.M)] == [
        "vgg_keras.utils.display"
    ]
    assert [module for module, text in texts.items() if "csv.writer" in text] == ["vgg_keras.utils.escaping"]


def test_text_files_are_utf8_whatever_the_encoding_of_the_system():
    def opens_without_encoding(call: ast.Call) -> bool:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        owner = getattr(getattr(call.func, "value", None), "id", "")
        modes = [part.value for part in call.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        binary = any("b" in mode for mode in modes) or owner in ("Image", "tarfile")
        is_open = name in ("open", "fdopen") and not binary and (isinstance(call.func, ast.Name) or modes)
        is_text = (
            name in ("read_text", "write_text")
            and isinstance(call.func, ast.Attribute)
            and owner not in ("files", "side_files")
        )
        return bool(is_open or is_text) and "encoding" not in {keyword.arg for keyword in call.keywords}

    found = [
        f"{module}:{node.lineno}"
        for module, path in import_graph.find_modules(ROOT).items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and opens_without_encoding(node)
    ]
    assert found == []


def test_only_the_console_prints():
    def prints(path) -> bool:
        calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        return any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls)

    found = {module for module, path in import_graph.find_modules(ROOT).items() if prints(path)}
    # The first two print help and errors; the local server reports to the process that started it.
    allowed = {"vgg_keras.utils.cli", "vgg_keras.utils.verb_list", "vgg_keras.serving.local_server"}
    assert found - allowed == set()


@pytest.mark.parametrize(
    "module",
    [
        "vgg_keras",
        "vgg_keras.__main__",
        "benchmarks.__main__",
        "data_prep.__main__",
        "data_prep.parts",
        "data_prep.task_files",
        "data_prep.workers",
        "vgg_keras.data.imagenet",
        "vgg_keras.data.class_folders",
        *sorted(VERBS),
    ],
)
def test_light_modules_load_no_tensorflow(module):
    script = f"import sys, {module}; print(*sorted(sys.modules))"
    process = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    assert not {"tensorflow", "keras", "tensorflow_datasets"} & set(process.stdout.split())


def test_the_list_of_verbs(run_verb):
    code, stdout, _ = run_verb("vgg_keras")
    assert code == 0
    assert "  vgg_keras.predict       Classifies photos, and draws boxes around their objects.\n" in stdout
    for verb in VERBS:
        assert f"  {verb} " in stdout


def test_the_list_of_the_verbs_of_data_prep(run_verb):
    code, stdout, _ = run_verb("data_prep")
    assert code == 0
    assert "  data_prep.verify        Checks every record of a data set and names the broken ones.\n" in stdout
    listed = {line.split()[0] for line in stdout.splitlines() if line.startswith("  ")}
    assert listed == {
        "data_prep.flowers",
        "data_prep.imagenet",
        "data_prep.image_folder",
        "data_prep.voc",
        "data_prep.verify",
    }


def test_every_verb_is_a_console_script():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    lines = settings["options.entry_points"]["console_scripts"].split("\n")
    scripts = dict(line.split(" = ") for line in lines if line)
    assert sorted(scripts.values()) == sorted(f"{verb}:run" for verb in VERBS)
    for script, target in scripts.items():
        package, _, verb = target.removesuffix(":run").partition(".")
        prefix = "vgg-" if package == "vgg_keras" else "vgg-data-"
        assert script == prefix + verb.replace("_", "-")
        assert callable(importlib.import_module(target.removesuffix(":run")).run)
