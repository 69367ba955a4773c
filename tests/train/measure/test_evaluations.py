"""The command line of evaluations, from outside: what it writes, resumes and refuses."""

import csv
import json
import signal
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_resnet import resnet, weights
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import Preprocessing
from tests.support import forks, helpers
from train import datasets
from train.datasets.decoding import Broken
from train.datasets.examples import arrays
from train.measure import evaluation, parts
from train.measure.measurement import Measured, Measurement
from train.measure.networks import Member
from train.tasks.protocols import TEN_CROP, Protocol

SCALINGS = {  # of two networks that want other pixels
    "one": Preprocessing(mean=100.0, std=50.0, image_size=8, crop=0.8),
    "two": Preprocessing(mean=(90.0, 100.0, 110.0), std=70.0, bgr=True, image_size=8, crop=1.0),
}


def network(file: Path, name: str, labels: str, channels: int = 3) -> keras.Model:
    """Writes a network of random weights whose answers differ from image to image."""
    keras.utils.set_random_seed(len(name))
    model = resnet(
        "resnet20",
        repeats=(1, 1, 1),
        input_shape=(None, None, channels),
        classes=len(labels),
        classifier_activation=None,
    )
    helpers.randomize(model, seed=ord(name[0]))
    scaling = SCALINGS[name] if channels == 3 else SCALINGS["one"]
    fields = {"repeats": [1, 1, 1]}
    weights.save(
        model, file, Manifest("resnet20", (8, 8, channels), tuple(labels), scaling, fields)
    )
    return model


def softmax(logits) -> np.ndarray:
    powers = np.exp(np.float64(logits))
    return powers / powers.sum(-1, keepdims=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, dict[str, keras.Model]]:
    """Two networks of the same classes in another order, one with more, and images."""
    root = tmp_path_factory.mktemp("made")
    helpers.image_folder(root / "images" / "test", 30)
    models = {
        "one": network(root / "one.keras", "one", "abc"),
        "two": network(root / "two.keras", "two", "cab"),
        "more": network(root / "more.keras", "one", "dcba"),
    }
    network(root / "grey.keras", "one", "0123456789", channels=1)
    return root, models


def evaluate(root: Path, *flags: str) -> list[str]:
    return ["train.evaluate", "--dataset=folder", f"--data_dir={root}/images", *flags]


@pytest.fixture(scope="module")
def done(made) -> dict[str, dict]:
    """Commands one after another."""
    root, _ = made
    one, two, more = (f"--weights={root}/{name}.keras" for name in ("one", "two", "more"))
    (root / "other").mkdir()
    (root / "other" / "thesis.txt").write_text("mine")
    (root / "begun").mkdir()
    (root / "begun" / "evaluation.json").write_text('{"split": "train"}')
    out = f"--out={root}/both"
    commands = {
        "both": [one, two, out],
        "finished": [one, two, out],
        "begun": [one, f"--out={root}/begun"],
        "only": [more, two, "--only_classes", f"--out={root}/only"],
        "more": [two, more],
        "scales": [one, "--protocol=multi_scale", "--scales=10,16"],
        "twice": [one, one],
        "networks": [one, two, one.replace("one", "more"), "--network=a", "--network=b"],
        "examples out": [one, two, "--examples_out=x.npz"],
        "examples of some": [more, "--only_classes", "--examples_out=x.npz"],
        "no scales": [one, "--scales=10"],
        "words": [one, "--protocol=multi_scale", "--scales=small"],
        "equal crops": [two, "--protocol=ten_crop"],
        "protocol": [one, "--protocol=12_crop"],
        "other files": [one, f"--out={root}/other"],
        "grey": [one, f"--weights={root}/grey.keras"],
    }
    found = helpers.modules([evaluate(root, *words) for words in commands.values()])
    return dict(zip(commands, found, strict=True))


def images(root: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """All images in order, as an oracle reads them: by class, then by name."""
    from PIL import Image

    files = sorted((root / "images").glob("test/*/*.png"))
    pixels = np.stack([np.asarray(Image.open(file)) for file in files])
    labels = np.array(["abc".index(file.parent.name) for file in files])
    return pixels, labels, [str(file.relative_to(root / "images")) for file in files]


def answers(model, name: str, pixels: np.ndarray) -> np.ndarray:
    scaling = SCALINGS[name]
    return np.asarray(model(scaling.normalize(scaling.resize(pixels))))


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_an_ensemble_is_measured_and_written(made, done):
    root, models = made
    assert done["both"]["code"] == 0, done["both"]["stderr"]
    pixels, labels, names = images(root)
    one = softmax(answers(models["one"], "one", pixels))
    two = softmax(answers(models["two"], "two", pixels))[:, [1, 2, 0]]  # c, a, b
    expected = (one + two) / 2
    result = json.loads(done["both"]["stdout"].splitlines()[-1])
    assert result["top1"] == pytest.approx(100 * np.mean(expected.argmax(1) == labels))
    loss = -np.log(expected[np.arange(30), labels]).mean()
    assert result["loss"] == pytest.approx(loss, rel=1e-5)
    assert (result["examples"], result["protocol"]) == (30, "one_crop")
    assert json.loads((root / "both" / "result.json").read_text()) == result
    written = rows(root / "both" / "predictions.csv")
    assert [row["name"] for row in written] == names
    assert [row["label_name"] for row in written] == ["abc"[label] for label in labels]
    assert [row["predicted_name"] for row in written] == ["abc"[i] for i in expected.argmax(1)]
    shares = [float(row["predicted_probability"]) for row in written]
    np.testing.assert_allclose(shares, expected.max(1), rtol=1e-4)
    assert {path.name for path in (root / "both").iterdir()} == {
        "evaluation.json",
        "result.json",
        "predictions.csv",
        "classes.csv",
        "confusion.csv",
        "confusion.npz",
        "confusion.png",
    }


def test_a_line_for_people_comes_before_the_last(done):
    line = done["both"]["stdout"].splitlines()[-2]
    result = json.loads(done["both"]["stdout"].splitlines()[-1])
    low, high = result["top1_low"], result["top1_high"]
    assert line.startswith(f"top-1 {result['top1']:.2f} % ({low:.2f} to {high:.2f}), top-5 ")


def test_only_the_classes_of_the_data_set_can_be_predicted(made, done):
    root, models = made
    assert done["only"]["code"] == 0, done["only"]["stderr"]
    pixels, _, _ = images(root)
    more = softmax(answers(models["more"], "one", pixels)[:, [3, 2, 1]])  # d, c, b, a
    two = softmax(answers(models["two"], "two", pixels)[:, [1, 2, 0]])
    written = rows(root / "only" / "predictions.csv")
    expected = ((more + two) / 2).argmax(1)
    assert [row["predicted_name"] for row in written] == ["abc"[i] for i in expected]


def test_several_scales_are_measured(done):
    assert done["scales"]["code"] == 0, done["scales"]["stderr"]
    result = json.loads(done["scales"]["stdout"].splitlines()[-1])
    assert result["protocol"] == "multi_scale at 10,16 pixels"
    assert result["examples"] == 30


REFUSED = {
    "finished": "/both is finished (result.json); choose another --out",
    "begun": "split 'train' there, 'test' now",
    "more": "more.keras has 4 classes, and 3 are compared",
    "twice": "one.keras is given twice, and would only count double",
    "networks": "--network is given 2 times for 3 --weights: give it once for all, or once for",
    "examples out": "--examples_out writes the images of one network, and --weights is given 2",
    "examples of some": "--examples_out writes the labels of the network, not --only_classes",
    "no scales": "scales=10 needs protocol=multi_scale",
    "words": "scales must be pixels, got 'small'",
    "equal crops": "protocol=ten_crop needs crops smaller than the scaled image",
    "protocol": "--protocol=12_crop: value should be one of <one_crop|ten_crop|multi_scale>",
    "other files": "/other holds other files; choose another --out",
    "grey": "the network takes images of 1 channels, the data set has 3",
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_in_one_line(done, case):
    assert done[case]["code"] == 1
    (line,) = [x for x in done[case]["stderr"].splitlines() if x.startswith("error: ")]
    assert REFUSED[case] in line
    assert "Traceback" not in done[case]["stderr"]


@pytest.fixture(scope="module")
def digits(made) -> tuple[list[str], dict]:
    """Ten crops of 1,437 digits, in three parts: the command, and its result."""
    root, _ = made
    command = ["train.evaluate", f"--weights={root}/grey.keras", "--dataset=digits"]
    command += ["--split=train", "--protocol=ten_crop"]
    return command, helpers.last_line(helpers.module(*command, "--batch_size=500"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_evaluation_goes_on(digits, tmp_path, number):
    """Stopped when the first part is saved; batches of another size only add in another order."""
    command, whole = digits
    process = forks.Run([*command, "--batch_size=10", f"--out={tmp_path}/out"])
    while not (tmp_path / "out" / "parts" / "00000000.npz").exists():
        time.sleep(0.01)
    time.sleep(0.1)  # until the last line is known
    process.send_signal(number)
    out, _ = process.communicate()
    if number == signal.SIGTERM:
        assert process.wait() == 128 + number
        told = "of 1,437 examples; the same command goes on from there"
        assert told in out.splitlines()[-1]
    assert not (tmp_path / "out" / "result.json").exists()
    resumed = helpers.module(*command, "--batch_size=500", f"--out={tmp_path}/out")
    result = helpers.last_line(resumed)
    numbers = {name: value for name, value in whole.items() if name != "protocol"}
    assert {name: result[name] for name in numbers} == pytest.approx(numbers, rel=1e-5)
    assert "examples were measured before" in resumed.stdout
    assert not (tmp_path / "out" / "parts").exists()


@pytest.fixture
def small(monkeypatch) -> Measurement:
    """Nine images in parts of four."""
    monkeypatch.setattr("train.measure.measurement.PART", {TEN_CROP: 4})
    model = resnet("resnet20", repeats=(1, 1, 1), classes=3, classifier_activation=None)
    examples = arrays(helpers.noise(9, 10, 12, 3), [i % 3 for i in range(9)], ("a", "b", "c"))
    member = Member(helpers.randomize(model), SCALINGS["one"])
    return Measurement([member], examples, Protocol(TEN_CROP), batch_size=40, broken=Broken())


def test_no_part_is_measured_twice(small, tmp_path, monkeypatch, capsys):
    expected = evaluation.all_parts(small, None)
    measure = small.measure
    seen = []

    def counted(first: int, note) -> Measured:
        seen.append(first)
        if seen == [0, 4]:
            raise KeyboardInterrupt
        return measure(first, note)

    monkeypatch.setattr(small, "measure", counted)
    with pytest.raises(KeyboardInterrupt):
        evaluation.all_parts(small, tmp_path)
    found = evaluation.all_parts(small, tmp_path)
    assert seen == [0, 4, 4, 8]
    assert capsys.readouterr().out == "4 of 9 examples were measured before\n"
    for ours, theirs in zip(vars(found).values(), vars(expected).values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("damage", ["cut", "text", "shape"])
def test_a_damaged_part_is_measured_again(small, tmp_path, capsys, damage):
    expected = evaluation.all_parts(small, tmp_path)
    path = tmp_path / "parts" / "00000004.npz"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "text":
        path.write_text("hello")
    else:
        parts.save(tmp_path, 4, Measured(*(x[:2] for x in vars(expected).values())))
    found = evaluation.all_parts(small, tmp_path)
    np.testing.assert_array_equal(found.scores, expected.scores)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{path} is ")
    assert lines[0].endswith("is measured again")
    assert lines[1] == "5 of 9 examples were measured before"


IDENTITY = {"weights": ["a.keras, SHA-256 12"], "protocol": "ten_crop", "names": "ab"}


def test_a_directory_holds_one_evaluation(tmp_path):
    parts.claim(tmp_path, IDENTITY)
    parts.claim(tmp_path, IDENTITY)
    for name, value in {"weights": ["a.keras, SHA-256 34"], "protocol": "one_crop"}.items():
        with pytest.raises(ValueError, match=f"another evaluation \\({name} .* there, .* now\\)"):
            parts.claim(tmp_path, {**IDENTITY, name: value})
    (tmp_path / "evaluation.json").write_text("[]")
    with pytest.raises(ValueError, match="does not say what is measured"):
        parts.claim(tmp_path, IDENTITY)


def test_what_scores_depend_on_is_seen(made, tmp_path):
    """Other weights, preprocessing, images or protocols; not the place where files are."""
    root, _ = made
    examples = datasets.load("folder", "test", f"{root}/images")
    names = evaluation.names(examples, f"{root}/images")
    assert names == images(root)[2]

    def identity(file="one", changes=None, names=names, protocol=""):
        from keras_resnet.models.weights_flags import Trained

        path = root / f"{file}.keras"
        manifest = weights.read_manifest(path)
        values = {**manifest.to_dict(), **(changes or {})}
        trained = Trained(None, Manifest.from_dict(values), path)
        return evaluation.identity(
            [trained], examples, names, Protocol(protocol) if protocol else Protocol()
        )

    same = identity()
    assert identity(changes={"training": {"best": 1}}) == same
    different = [
        identity("two"),
        identity(changes={"preprocessing": {"image_size": 8, "crop": 0.5}}),
        identity(changes={"labels": ["c", "b", "a"]}),
        identity(names=["x", *names[1:]]),
        identity(protocol=TEN_CROP),
    ]
    assert all(one != same for one in different)


def test_broken_images_of_earlier_parts_count(made, tmp_path):
    """They were reported by a process that is gone, and are still missing."""
    root, _ = made
    helpers.image_folder(tmp_path / "images" / "test", 12)
    for name in ("x", "y"):
        (tmp_path / "images" / "test" / "a" / f"{name}.png").write_bytes(b"\0\1")
    command = evaluate(tmp_path, f"--weights={root}/one.keras", f"--out={tmp_path}/out")
    result = helpers.last_line(helpers.module(*command))
    assert result["examples"] == 12
    assert len(rows(tmp_path / "out" / "predictions.csv")) == 12
    (tmp_path / "out" / "result.json").unlink()
    parts.save(
        tmp_path / "out",
        0,
        Measured(np.zeros((14, 3), np.float32), np.zeros(14, np.int64), np.arange(14) > 1),
    )
    refused = helpers.module(*command, "--max_broken=1")
    assert refused.returncode == 1
    assert "2 images cannot be decoded, max_broken is 1" in refused.stderr
