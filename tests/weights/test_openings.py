"""A file of weights is opened once, and read once for its hash, by whoever uses it."""

import hashlib
import json

import pytest

from keras_resnet import from_weights, weights
from keras_resnet.weights import file as weight_files
from tests.support import helpers
from tests.support.saved_networks import manifest, network, saved

# Runs a command in this process, and counts the openings of files of weights and their hashes.
COUNTED = """
import hashlib, json, runpy, sys
from keras_resnet.weights import file
counts = {"openings": 0, "hashes": 0}

def counted(name, call):
    def count(*arguments, **options):
        counts[name] += "best" not in str(arguments[0])  # a run reads its own best network
        return call(*arguments, **options)
    return count

file.opened_container = counted("openings", file.opened_container)
hashlib.file_digest = counted("hashes", hashlib.file_digest)
module, *sys.argv[1:] = sys.argv[1:]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
except SystemExit as end:
    if end.code:
        raise
print(json.dumps(counts))
"""


def test_an_export_opens_its_weights_once(tmp_path) -> None:
    saved(tmp_path)
    done = helpers.python(
        "-c",
        COUNTED,
        "keras_resnet.export",
        f"--weights={tmp_path}/tiny.weights.h5",
        f"--out={tmp_path}/out",
        "--formats=tflite",
    )
    assert helpers.last_line(done) == {"openings": 1, "hashes": 1}
    about = json.loads((tmp_path / "out" / "model.json").read_text())["weights"]
    content = (tmp_path / "tiny.weights.h5").read_bytes()
    assert about == {"file": "tiny.weights.h5", "sha256": hashlib.sha256(content).hexdigest()}


def test_a_fine_tuning_opens_its_first_weights_once(tmp_path) -> None:
    """For the network, the preprocessing and the tensors; a run that resumes needs none of them."""
    saved(tmp_path)
    command = [
        "train",
        "--recipe=finetune",
        "--dataset=digits",
        "--augmentation=shift",
        "--freeze=stem",
        "--batch_size=8",
        f"--init_weights={tmp_path}/tiny.weights.h5",
        f"--workdir={tmp_path}/run",
    ]
    done = helpers.python("-c", COUNTED, *command, "--steps=1")
    assert helpers.last_line(done) == {"openings": 1, "hashes": 0}  # our own files are not hashed


def test_an_open_file_is_used_as_it_is(tmp_path, monkeypatch) -> None:
    """What a file says, and then the network: both from one opening."""
    saved(tmp_path)
    openings = []
    opened = weight_files.opened_container
    monkeypatch.setattr(
        weight_files, "opened_container", lambda *given: openings.append(given) or opened(*given)
    )
    with weights.opened(tmp_path / "tiny.weights.h5") as held:
        assert held.settle() == manifest()
        model = from_weights(held)
        with pytest.raises(ValueError, match="source and prefix are arguments of"):
            from_weights(held, source="torchvision")
    assert len(openings) == 1
    for weight, expected in zip(model.weights, network().weights, strict=True):
        assert weight.shape == expected.shape
