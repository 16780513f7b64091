"""Tests evaluations that several processes share: the same results as those of one, a killed worker, other settings."""

import json
import shutil
import signal

import numpy as np
import pytest

from tests.helpers.evaluation_data import SIZES, photo, save_net, write_photos
from tests.helpers.processes import start_killed_at, start_verb
from tests.helpers.verbs import call_verb
from tests.helpers.workers import free_ports
from vgg_keras import evaluate
from vgg_keras.tasks.options import EvaluateOptions

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Makes a folder with 30 photos as a data set in data/, and a run in run/."""
    folder = tmp_path_factory.mktemp("place")
    write_photos([photo(index, SIZES[index % len(SIZES)]) for index in range(30)], folder / "data")
    save_net("A", folder / "run", input_size=32, train_scale="48")
    return folder


def environments(count=2):
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(count)]}
    tasks = [{"type": "worker", "index": index} for index in range(count)]
    return [{"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks]


def flags(place, output_dir, *more):
    models = [f"--model={place / 'run'}", f"--data_dir={place / 'data'}", f"--output_dir={output_dir}"]
    return [*models, "--test_scales=48,64", "--batch_size=4", "--save_posteriors", "--worker_timeout=600", *more]


def finish(processes):
    """Returns (exit code, stdout, stderr) of each process."""
    processes = list(processes)
    outputs = [process.communicate(timeout=900) for process in processes]
    return [(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]


def described(folder):
    """Returns the record of an evaluation without what depends on time and on the workers."""
    record = json.loads((folder / "evaluation.json").read_text())
    untimed = [
        {key: value for key, value in row.items() if key not in ("seconds", "images_per_second")}
        for row in record["results"]
    ]
    return {**record, "results": untimed, "devices": "", "checksum": ""}


def test_a_killed_worker_is_named_and_the_restarted_ones_end_with_the_bytes_of_one_process(place, tmp_path):
    call_verb(evaluate.main, flags(place, tmp_path / "one", "--strategy=one_device"), EvaluateOptions)

    chief, worker = environments()
    store, verb = "vgg_keras.utils.resumable_array.ResumableArray.store", "vgg_keras.evaluate"
    arguments = flags(place, tmp_path / "two")
    processes = [
        start_verb(verb, *arguments, cwd=tmp_path, env=chief),
        start_killed_at(store, verb, *arguments, cwd=tmp_path, env=worker, call=6),
    ]
    (code, _, stderr), (killed, _, _) = finish(processes)
    assert (code, killed) == (75, -signal.SIGKILL), stderr
    assert stderr.splitlines()[-1].startswith("error: worker 1, 127.0.0.1:")
    assert stderr.endswith("its machine went down; start all workers again; they continue the evaluation\n")
    (left,) = (tmp_path / "two" / "partial").glob("0_dense_48.part-1-*.npy")
    assert np.isfinite(np.load(left)).all(axis=1).sum() == 5
    assert not (tmp_path / "two" / "evaluation.json").exists()

    (code, stdout, stderr), other = finish(
        [start_verb(verb, *arguments, cwd=tmp_path, env=environment) for environment in environments()]
    )
    assert (code, other[0]) == (0, 0), (stderr, other)
    assert "shared out over 2 workers, a photo counted once a scale, method and model: worker 0, " in stdout
    assert "this worker is done; the results are in" in other[1]
    assert "top-1" not in other[1]
    for name in ("predictions.csv", "mistakes.npz"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes(), name
    one, two = (np.load(tmp_path / name / "posteriors.npz")["dense"] for name in ("one", "two"))
    assert one.tobytes() == two.tobytes()
    assert described(tmp_path / "one") == described(tmp_path / "two")
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == sorted(
        path.name for path in (tmp_path / "one").iterdir()
    )


def line_of_differing_workers(place, output_dir, others):
    """Returns the line with which two workers stop, given further flags of each."""
    found = finish(
        start_verb("vgg_keras.evaluate", *flags(place, output_dir, *more), cwd=output_dir.parent, env=environment)
        for more, environment in zip(others, environments(), strict=True)
    )
    assert [code for code, _, _ in found] == [1, 1], found
    lines = {stderr.splitlines()[-1] for _, _, stderr in found}
    assert len(lines) == 1
    assert not output_dir.exists()
    return lines.pop()


def test_workers_that_differ_stop_with_the_same_line(place, tmp_path):
    others = [[], ["--test_scales=64", "--compare=/elsewhere"]]
    line = line_of_differing_workers(place, tmp_path / "e", others)
    assert line.endswith(": --test_scales is '64', the chief has '48,64'")


def test_an_error_about_a_finished_evaluation_ends_all_workers(place, tmp_path):
    call_verb(evaluate.main, flags(place, tmp_path / "e", "--nosave_posteriors"), EvaluateOptions)
    results = finish(
        start_verb("vgg_keras.evaluate", *flags(place, tmp_path / "e"), cwd=tmp_path, env=environment)
        for environment in environments()
    )
    assert [code for code, _, _ in results] == [1, 1], results
    for _, _, stderr in results:
        assert "holds this evaluation without posteriors.npz; remove the folder" in stderr.splitlines()[-1]


def test_workers_that_compare_with_other_models_stop_before_the_work(place, tmp_path):
    line = line_of_differing_workers(place, tmp_path / "e", [[f"--compare={place / 'run'}"], ["--compare=/elsewhere"]])
    assert ": --compare is 'unusable: /elsewhere" in line
    assert "', the chief has 'a model with the SHA-256 " in line


def test_workers_also_share_the_test_of_the_model_that_theirs_is_compared_with(place, tmp_path):
    """Each worker knows that model by a path of its own; one process finds the same difference."""
    save_net("A", place / "other", input_size=32, train_scale="48", seed=5)
    shutil.copytree(place / "other", tmp_path / "copy")
    paths = [place / "other", tmp_path / "copy"]
    found = finish(
        start_verb("vgg_keras.evaluate", *flags(place, tmp_path / "two", f"--compare={path}"), cwd=tmp_path, env=env)
        for path, env in zip(paths, environments(), strict=True)
    )
    assert [code for code, _, _ in found] == [0, 0], found
    call_verb(evaluate.main, flags(place, tmp_path / "one", f"--compare={paths[0]}"), EvaluateOptions)
    (compared,) = (tmp_path / "one" / "compared").iterdir()
    for name in (
        "predictions.csv",
        *(f"compared/{compared.name}/{file}" for file in ("predictions.csv", "mistakes.npz")),
    ):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes(), name
    # The lines of the table's title end where they are long enough.
    assert "difference in percentage points" in " ".join(found[0][1].split())
    assert "difference" not in found[1][1]
