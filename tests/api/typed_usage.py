"""Uses the Python API as its users do, for the type checker, which runs over this file; nothing here is executed."""

from pathlib import Path

import numpy as np

import vgg_keras as vgg
from vgg_keras.inference.predictions import Localization, Prediction


def uses() -> None:
    """Calls every public function with the types that users have at hand."""
    print(vgg.build("VGG16", num_classes=5, weights=Path("a.h5"), pooling=None, input_shape=(224, 224, 3)).summary())
    print(vgg.vgg11(), vgg.vgg13(10), vgg.vgg16(include_top=False), vgg.vgg19(seed=1))
    model: vgg.TrainedModel = vgg.load(Path("runs/flowers"))
    one = model.classify("photo.jpg", method="dense", test_scales=(256, 288), top=3)
    many = model.classify([b"", Path("photo.jpg"), np.zeros((8, 8, 3), np.uint8)])
    labels: list[str] = model.labels
    features: np.ndarray = model.features(["photo.jpg"], layers=["fc7"])["fc7"]
    heat: np.ndarray = model.score_map("photo.jpg").heat_map("rose")
    localizer: vgg.TrainedLocalizer = vgg.load_localizer("runs/boxes", classifier=Path("runs/flowers"), test_scales=256)
    located = localizer.find("photo.jpg", top=1)
    assert isinstance(located, Localization)
    ymin, xmin, ymax, xmax = located.best.box
    height: int = ymax - ymin
    print(xmin, xmax, height, localizer.box("photo.jpg", "rose").ymin)
    data = vgg.open_data(Path("data/flowers"))
    number: int = data.num_images("train")
    trained = vgg.train_model(data_dir="data/flowers", output_dir=Path("runs/flowers"), net="A", epochs=2, verbose=True)
    best: Path = trained.best_model
    tested = vgg.evaluate_model(model=[best, Path("b")], data_dir="data/flowers", output_dir="evaluations/flowers")
    error: float = tested.top1_error
    exported = vgg.export_model(model=best, output_dir="saved_models/flowers", test_scales="multi")
    folder: Path = exported.folder
    assert isinstance(one, Prediction)
    assert isinstance(many, list)
    print(one.best.name, many[0].lines(), labels, features, heat, number, error, folder, vgg.UserError, vgg.__version__)


def is_refused() -> None:
    """Makes mistakes that the type checker has to find: without them, it reports the comments as unused."""
    vgg.train_model(output_dir="runs/flowers", learning_rate="high")  # type: ignore[arg-type]
    vgg.evaluate_model(model="a", output_dir="b", no_such_option=1)  # type: ignore[call-arg]
    vgg.load(5)  # type: ignore[arg-type]
