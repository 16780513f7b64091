"""Tests that names in a model card are no markup."""

import json

from vgg_keras.serving import model_card

RECORD = {
    "name": "a", "net": "A", "num_parameters": 1, "num_classes": 2, "train_scale": "256", "source": "<b>/a|b.keras",
    "source_sha256": "0", "versions": {"keras": "3"}, "agreement_text": "same", "method": "dense", "average": "scores",
    "test_scales": [256], "flip": False, "precision": "float32", "max_megapixels": 100.0, "top": 5, "input_size": 224,
}  # fmt: skip


def test_names_are_no_markup(tmp_path):
    flags = {"data_dir": "data/[x](y)", "train_split": "train", "validation_split": "*val*", "seed": "1\n# heading"}
    (tmp_path / "run.json").write_text(json.dumps({"flags": flags}), encoding="utf-8")
    epoch = {"epoch": 1, "step": 8, "complete": True, "learning_rate": 0.1, "training_loss": 0.1}
    epoch |= {"training_top1_error": 5.0, "validation_top1_error": 5.0, "validation_top5_error": 0.0}
    epoch |= {"validation_loss": 0.1}
    (tmp_path / "history.jsonl").write_text(json.dumps({**epoch, "validation_num_images": 7}) + "\n", encoding="utf-8")
    text = model_card.text(RECORD, tmp_path)
    assert "| source | &lt;b>/a\\|b.keras, SHA-256 0 |" in text
    assert "| trained on | data/[x\\](y), train |" in text
    assert "7 images of \\*val\\*, centre crop" in text
    assert "    --seed=1\\n# heading\n" in text
