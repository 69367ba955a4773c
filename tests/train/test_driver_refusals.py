"""What the command lines refuse: quickly, on stderr, without a traceback or a trace on disk."""

import json
import resource
import socket
from pathlib import Path

import keras
import pytest

import keras_resnet
from keras_resnet import weights
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import Preprocessing
from tests.support import helpers
from train.run import checkpoints

# No case of TRAIN can read data, since this data_dir is missing; only the last may say so.
MISSING = "--data_dir=/no/such/data"
TRAIN = {
    "unknown recipe": (["--recipe=resnet9"], "unknown recipe 'resnet9': --list_recipes lists all"),
    "recipe typo": (
        ["--recipe=cifar10-resnet20"],
        "'cifar10-resnet20': did you mean cifar10_resnet20",
    ),
    "two lengths": (["--steps=3", "--epochs=2"], "--epochs=2 and --steps=3", "give one of them"),
    "no epochs": (["--epochs=0"], "epochs must be above 0, got 0"),
    "known by another name": (["--lr=0.1"], "unknown flag --lr: did you mean --learning_rate?"),
    "dashes": (["--learning-rate=0.1"], "did you mean --learning_rate?"),
    "unknown field": (["--field=colour=red"], "colour=red", "shortcut"),
    "field without a value": (["--field=shortcut"], "shortcut", "NAME=VALUE"),
    "bad value of a field": (["--field=shortcut=Z"], "Z", "A"),
    "boundaries of letters": (["--boundaries=a,b"], "boundaries", "a,b"),
    "falling boundaries": (["--boundaries=20,10"], "boundaries", "increasing"),
    "negative rate": (["--learning_rate=-0.1"], "learning_rate", "at least 0"),
    "rate of letters": (["--learning_rate=fast"], "learning_rate", "fast"),
    "no steps": (["--steps=0"], "steps", "at least 1"),
    "half a step": (["--steps=1.5"], "steps", "1.5"),
    "momentum of 1": (["--momentum=1"], "momentum", "[0, 1)"),
    "two warm-ups": (["--warmup_steps=5", "--warmup_error=0.8"], "warmup_steps", "warmup_error"),
    "unknown schedule": (["--schedule=linear"], "schedule", "cosine"),
    "unknown augmentation": (["--augmentation=mixup"], "augmentation", "shift"),
    "unknown preprocessing": (["--preprocessing=imagenet"], "preprocessing", "per_pixel"),
    "unknown network": (["--network=resnet21"], "resnet21", "resnet20"),
    "unknown precision": (["--precision=float64"], "precision", "float32|bfloat16|float16"),
    "unknown strategy": (["--strategy=horovod"], "strategy", "one|mirrored|multi_worker|tpu"),
    "unknown optimizer": (["--optimizer=adam"], "optimizer", "sgd|lars|adamw|lamb"),
    "trust above 1": (["--trust=2"], "trust", "[0, 1], got 2.0"),
    "average that never moves": (["--ema=1"], "ema", "[0, 1), got 1.0"),
    "batches before none": (["--precise_bn=-1"], "precise_bn", "at least 0, got -1"),
    "compiled and waiting": (["--sync_bn", "--jit_compile"], "sync_bn", "jit_compile=True"),
    "parts that wait": (["--sync_bn", "--micro_batches=2"], "sync_bn", "micro_batches=2"),
    "uneven parts": (["--micro_batches=3"], "batch_size=128", "3 micro_batches"),
    "unknown loss": (["--loss=hinge"], "loss", "softmax|sigmoid"),
    "threshold of a choice": (["--target_threshold=0.2"], "target_threshold=0.2", "loss=sigmoid"),
    "threshold of 1": (["--loss=sigmoid", "--target_threshold=1"], "target_threshold", "[0, 1)"),
    "unknown colour": (["--colour=red"], "colour", "none|pca|jitter_pca"),
    "unknown policy": (["--policy=auto"], "policy", "none|randaugment|trivial"),
    "magnitude above 1": (["--magnitude=1.5"], "magnitude", "[0, 1], got 1.5"),
    "erasing below 0": (["--erasing=-0.1"], "erasing", "[0, 1], got -0.1"),
    "mixup below 0": (["--mixup=-1"], "mixup", "at least 0, got -1.0"),
    "cutmix of no number": (["--cutmix=nan"], "cutmix", "at least 0, got nan"),
    "odd pairs": (["--mixup=0.2", "--batch_size=31"], "mixup", "even number of images", "31"),
    "odd pairs of a replica": (
        ["--cutmix=1", "--batch_size=6", "--strategy=mirrored", "--replicas=2"],
        "cutmix",
        "a replica, got 3",
    ),
    "never seen": (["--repeats=0"], "repeats", "at least 1, got 0"),
    "one scale": (["--test_size=40"], "test_size=40", "random_resized_crop", "'shift'"),
    "crop above 1": (["--crop=1.5"], "crop", "[0, 1], got 1.5"),
    "fewer than none broken": (["--max_broken=-1"], "max_broken", "at least 0, got -1"),
    "no TPU": (["--strategy=tpu"], "strategy=tpu", "no TPU"),
    "unwritable place": (["--workdir=/proc/x"], "cannot write to workdir '/proc/x'"),
    "unknown flag": (["--learning-rates=0.1"], "learning-rates", ""),
    "uneven replicas": (["--strategy=mirrored", "--replicas=3"], "batch", "3 replicas"),
    "replicas of one device": (["--replicas=2"], "replicas=2", "mirrored"),
    "no replicas": (["--strategy=mirrored", "--replicas=0"], "replicas", ""),
    "missing data": ([], "data_dir", "/no/such/data"),
}
DATA = {
    "unknown set": (["--dataset=mnist9", "--data_dir={tmp}/empty"], "mnist9", "digits"),
    "no images": (["--dataset=folder", "--data_dir={tmp}/empty"], "no images", ".png"),
    "folder without place": (["--dataset=folder"], "folder", "data_dir"),
    "colour means on grey": (["--preprocessing=caffe"], "caffe", "3 channels"),
    "all held out": (["--validation=1437"], "validation", "1437"),
    "unwritable workdir": (["--workdir={tmp}/file/below"], "workdir", "{tmp}/file/below"),
    "workdir is a file": (["--workdir={tmp}/file"], "workdir", "{tmp}/file"),
    "other rate than before": (["--workdir={tmp}/old", "--learning_rate=0.2"], "0.2", "{tmp}/old"),
    "other field than before": (["--workdir={tmp}/old", "--field=shortcut=B"], "{tmp}/old", "B"),
    "nameless checkpoints": (["--workdir={tmp}/nameless"], "{tmp}/nameless", "another training"),
    "damaged checkpoints": (["--workdir={tmp}/torn"], "{tmp}/torn", "no checkpoint", "is whole"),
    "damaged workdir": (["--workdir={tmp}/damaged"], "{tmp}/damaged/recipe.json", "not the recipe"),
}


def cluster(workers: object, index: object, **others: object) -> str:
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": workers, **others}, "task": task})


WORKERS = {  # TF_CONFIG, what is said of it, and what else
    "nothing said": ("", "multi_worker needs TF_CONFIG such as", "got ''"),
    "bad JSON": ("{cluster", "multi_worker needs TF_CONFIG such as", "got '{{cluster'"),
    "unknown index": (cluster(["a:1", "b:1"], 2), "must list workers only", "this one by index"),
    "index of letters": (cluster(["a:1"], "x"), "multi_worker needs TF_CONFIG", '"x"'),
    "no list": (cluster("a:1", 0), "must list workers only", "host:port"),
    "no ports": (cluster(["localhost"], 0), "must list workers only", "host:port"),
    "chief beside workers": (cluster(["a:1"], 0, chief=["b:1"]), "must list workers only", "chief"),
    "three share 128": (cluster(["a:1", "b:1", "c:1"], 0), "multiple of the 3 replicas", "128"),
    "port that is taken": (cluster(["localhost:{port}"], 0), "cannot listen", "TF_CONFIG"),
}
MODEL = "--weights={tmp}/model.keras"
EVALUATE = {
    "other network": ([MODEL, "--dataset=digits", "--network=resnet32"], "resnet20", "resnet32"),
    "other field": ([MODEL, "--dataset=digits", "--field=shortcut=C"], "shortcut", "C"),
    "other classes": ([MODEL, "--dataset=digits"], "no class '0', '1'", "'a', 'b', 'c'"),
    "other channels": (
        [MODEL, "--dataset=folder", "--data_dir={tmp}/images"],
        "1 channels",
        "has 3",
    ),
    "missing file": (["--weights={tmp}/none.keras", "--dataset=digits"], "none.keras", "no file"),
    "damaged file": (
        ["--weights={tmp}/text.keras", "--dataset=digits"],
        "text.keras",
        "cannot be read",
    ),
    "damaged h5": (
        ["--weights={tmp}/text.weights.h5", "--dataset=digits"],
        "text",
        "cannot be read",
    ),
    "other ending": (
        ["--weights={tmp}/file", "--dataset=digits"],
        "cannot be read",
        ".safetensors",
    ),
    "missing data": ([MODEL, "--dataset=digits", MISSING], "data_dir", "/no/such/data"),
    "no file of weights": (["--dataset=digits"], "weights", ""),
    "no set": ([MODEL], "dataset", ""),
}
EXPORT = {
    "existing directory": ([MODEL, "--out={tmp}/empty"], "{tmp}/empty", "exists"),
    "missing file": (["--weights={tmp}/none.keras", "--out={tmp}/new/1"], "none.keras", "no file"),
    "other network": ([MODEL, "--out={tmp}/new/1", "--network=plain20"], "resnet20", "plain20"),
    "below a file": ([MODEL, "--out={tmp}/file/1"], "{tmp}/file", ""),
}
MODULES = {
    "train": {**TRAIN, **DATA},
    "tests.support.within": WORKERS,
    "train.evaluate": EVALUATE,
    "keras_resnet.export": EXPORT,
}
IDS = [(module, name) for module, cases in MODULES.items() for name in cases]


def command(module: str, name: str, tmp: Path, port: int) -> list[str]:
    if module == "tests.support.within":
        config = WORKERS[name][0].replace("{port}", str(port))
        place = [f"--workdir={tmp}/new {name}", MISSING]
        return [module, f"TF_CONFIG={config}", "train", *place, "--strategy=multi_worker"]
    arguments = [argument.format(tmp=tmp) for argument in MODULES[module][name][0]]
    if module == "train":
        place = [] if name in DATA else [MISSING]
        arguments = [f"--workdir={tmp}/new {name}", *place, *arguments]
    return [module, *arguments]


def prepare(tmp: Path) -> None:
    """Makes what the cases talk of: files, folders, old runs and a model of three classes."""
    (tmp / "empty").mkdir()
    for name in ("file", "text.keras", "text.weights.h5"):
        (tmp / name).write_text("hello")
    helpers.image_folder(tmp / "images", 30)
    for name, text in (("old", helpers.recipe().to_json()), ("damaged", "{}")):
        (tmp / name).mkdir()
        (tmp / name / "recipe.json").write_text(text)
    for name in ("nameless", "torn"):  # such as of a run whose recipe.json is lost
        variable = keras.Variable([1.0, 2.0], name="w")
        checkpoints.Checkpoints(tmp / name / "checkpoints", {"model": [variable]}).save(7, {})
    (tmp / "torn" / "checkpoints" / "step_00000007.npz").write_bytes(b"")
    keras.utils.set_random_seed(0)
    model = keras_resnet.resnet(
        "resnet20", repeats=(1, 1, 1), input_shape=(8, 8, 1), classes=3, classifier_activation=None
    )
    scaling = Preprocessing(image_size=8, crop=1.0)
    manifest = Manifest("resnet20", (8, 8, 1), ("a", "b", "c"), scaling, {"repeats": [1, 1, 1]})
    weights.save(model, tmp / "model.keras", manifest)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory) -> dict:
    tmp = tmp_path_factory.mktemp("refusals")
    prepare(tmp)
    before = contents(tmp)
    with socket.create_server(("localhost", 0)) as taken:
        cases = [command(*case, tmp, taken.getsockname()[1]) for case in IDS]
        results = helpers.modules(cases)
    after = contents(tmp)
    return {"tmp": tmp, "before": before, "after": after, **dict(zip(IDS, results, strict=True))}


@pytest.mark.parametrize(("module", "name"), IDS, ids=[f"{m}: {n}" for m, n in IDS])
def test_a_refusal_says_what_came_and_what_is_allowed(refusals, module, name):
    result = refusals[module, name]
    texts = MODULES[module][name][1:]
    assert result["code"] not in (0, -6, -11)
    assert "Traceback" not in result["stderr"] + result["stdout"]
    for text in texts:
        assert text.format(tmp=refusals["tmp"]) in result["stderr"]


def test_refusals_leave_everything_as_it_was(refusals):
    """Also a workdir that was not there: a mistyped data set must not claim it for good."""
    assert set(refusals["after"]) - set(refusals["before"]) == set()
    assert refusals["after"] == refusals["before"]


def test_a_refused_run_as_a_process_of_its_own(tmp_path):
    """Within ten seconds of a processor, nearly all of which are TensorFlow's import."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = helpers.module("train", "--boundaries=a,b", f"--workdir={tmp_path}/new")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: boundaries")
    assert not done.stdout
    assert not (tmp_path / "new").exists()
