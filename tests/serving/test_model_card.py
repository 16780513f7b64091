"""Tests that names in a model card are no markup, and that the Hugging Face Hub can read its head."""

import json

import pytest
import yaml

from vgg_keras.serving import model_card

RECORD = {
    "name": "a", "net": "A", "num_parameters": 1, "num_classes": 2, "train_scale": "256", "source": "<b>/a|b.keras",
    "source_sha256": "0", "versions": {"keras": "3"}, "agreement_text": "same", "method": "dense", "average": "scores",
    "test_scales": [256], "flip": False, "precision": "float32", "max_megapixels": 100.0, "top": 5, "input_size": 224,
}  # fmt: skip


EPOCH = {
    "epoch": 1, "step": 8, "complete": True, "learning_rate": 0.1, "training_loss": 0.1, "training_top1_error": 5.0,
    "validation_top1_error": 6.25, "validation_top5_error": 1.5, "validation_loss": 0.1, "validation_num_images": 80,
}  # fmt: skip


def card(folder, flags=None, epochs=(), data=None, **record):
    """Returns the card of a model of a run with the flags and the history."""
    if flags is not None:
        (folder / "run.json").write_text(json.dumps({"flags": flags, "data": data or {}}), encoding="utf-8")
    (folder / "history.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in epochs), encoding="utf-8")
    return model_card.text({**RECORD, **record}, folder)


def head(text):
    """Returns what the head of a card tells, read by PyYAML; the card follows it."""
    _, yaml_text, rest = text.split("---\n", 2)
    assert rest.startswith("\n# ")
    return yaml.safe_load(yaml_text)


def test_the_head_tells_what_is_known(tmp_path):
    flags = {"dataset": "cats_vs_dogs:4.*.*", "data_dir": "", "train_split": "train[:90%]", "validation_split": "x: y"}
    found = head(card(tmp_path, flags, [EPOCH], num_classes=10))
    assert found == {
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["vgg", "tensorflow", "saved-model", "arxiv:1409.1556", "vgg-a"],
        "datasets": ["cats_vs_dogs"],
        "metrics": ["accuracy"],
        "model-index": [
            {
                "name": "a",
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"name": "cats_vs_dogs", "type": "cats_vs_dogs", "split": "x: y"},
                        "metrics": [
                            {"type": "accuracy", "name": "Top-1 accuracy", "value": 0.9375},
                            {"type": "accuracy", "name": "Top-5 accuracy", "value": 0.985},
                        ],
                    }
                ],
            }
        ],
    }


@pytest.mark.parametrize("dataset", ["drawn_flowers", "huggingface:cifar10"])
def test_a_data_set_that_others_do_not_know_by_this_name_is_not_named(tmp_path, dataset):
    found = head(card(tmp_path, {"dataset": dataset, "data_dir": ""}, [EPOCH]))
    assert "datasets" not in found
    assert found["model-index"][0]["results"][0]["dataset"]["type"] == "imagefolder"


def test_the_head_leaves_out_what_is_unknown(tmp_path):
    found = head(card(tmp_path))
    assert found.keys() == {"library_name", "pipeline_tag", "tags"}
    text = card(tmp_path, {"data_dir": "/home/me/secret/photos", "train_split": "train"}, [EPOCH])
    found = head(text)
    assert "datasets" not in found
    (result,) = found["model-index"][0]["results"]
    assert result["dataset"] == {"name": "photos", "type": "imagefolder", "split": "validation"}
    assert [one["name"] for one in result["metrics"]] == ["Top-1 accuracy"]  # of two classes, five are always right
    assert "secret" not in text.split("---\n")[1]


def test_the_card_of_a_localizer(tmp_path):
    text = card(tmp_path, {"data_dir": "boxes"}, [EPOCH], task="localization", box_regression="pcr")
    found = head(text)
    assert found["pipeline_tag"] == "object-detection"
    (metric,) = found["model-index"][0]["results"][0]["metrics"]
    assert metric["name"] == "Accuracy of boxes (IoU above 0.5, the class known)"
    assert metric["value"] == 0.9375
    assert "## Intended use" in text


def test_use_limits_and_data(tmp_path):
    data = {
        "the number of photos in train": 1000,
        "the number of photos in validation": 80,
        "the classes": [f"kind_{index}" for index in range(25)],
    }
    flags = {"data_dir": "photos", "train_split": "train", "validation_split": "validation"}
    text = card(tmp_path, flags, [EPOCH], data)
    for part in (
        "## Intended use", "## Limits", "## Training data", "## Errors, and how they were measured",
        "photos: 1,000 photos of train, 80 photos of validation. Classes: kind_0, kind_1,", "kind_19, ...",
        "80 images of validation, centre crop, after epoch 1. The epoch was chosen on these images.",
    ):  # fmt: skip
        assert part in text, part
    assert "kind_20" not in text


NAMES = ['"quoted" \\ and: {x}', "日本 📷", "- [a]", "---", "yes", "a\n---\nlicense: mit", "\x85\u2028"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_texts_in_the_head(name, tmp_path):
    found = head(card(tmp_path, {"data_dir": "x", "validation_split": name}, [EPOCH], name=name))
    assert found.keys() == {"library_name", "pipeline_tag", "tags", "metrics", "model-index"}
    (index,) = found["model-index"]
    shown = name.encode("unicode_escape").decode() if not name.isprintable() else name
    assert index["name"] == index["results"][0]["dataset"]["split"] == shown


def test_the_hub_reads_the_head(tmp_path):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    text = card(tmp_path, {"dataset": "imagenet2012", "validation_split": "validation"}, [EPOCH], num_classes=1000)
    data = hub.ModelCard(text).data
    assert (data.library_name, data.pipeline_tag, data.datasets) == ("keras", "image-classification", ["imagenet2012"])
    assert [(one.metric_name, one.metric_value) for one in data.eval_results] == [
        ("Top-1 accuracy", 0.9375),
        ("Top-5 accuracy", 0.985),
    ]
    assert data.model_name == "a"


def test_names_are_no_markup(tmp_path):
    flags = {"data_dir": "data/[x](y)", "train_split": "train", "validation_split": "*val*", "seed": "1\n# heading"}
    (tmp_path / "run.json").write_text(json.dumps({"flags": flags}), encoding="utf-8")
    epoch = {"epoch": 1, "step": 8, "complete": True, "learning_rate": 0.1, "training_loss": 0.1}
    epoch |= {"training_top1_error": 5.0, "validation_top1_error": 5.0, "validation_top5_error": 0.0}
    epoch |= {"validation_loss": 0.1}
    (tmp_path / "history.jsonl").write_text(json.dumps({**epoch, "validation_num_images": 7}) + "\n", encoding="utf-8")
    text = model_card.text(RECORD, tmp_path)
    assert "| source | a\\|b.keras, SHA-256 0 |" in text
    assert "| trained on | data/[x\\](y), train |" in text
    assert "7 images of \\*val\\*, centre crop" in text
    assert "    --seed=1\\n# heading\n" in text


def test_no_path_of_the_machine_and_where_the_temperature_is_from(tmp_path):
    flags = {"data_dir": "photos", "output_dir": "/home/me/secret/run"}
    fitted = {"temperature": 1.5, "temperature_fitted_on": "12 photos of a_b, test"}
    text = card(tmp_path, flags, source="/home/me/secret/best.keras", **fitted)
    assert "secret" not in text
    assert "| source | best.keras, SHA-256 0 |" in text
    assert "by the temperature 1.5 (arXiv:1706.04599, fitted on 12 photos of a_b, test), which" in text
