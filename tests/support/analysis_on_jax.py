"""Analyses a network on any backend: FOLDER, which holds a network and examples, gets results."""

import json
import sys
from pathlib import Path

import keras
import numpy as np

import keras_resnet
from keras_resnet import analysis


def results(folder: Path) -> dict[str, list[float]]:
    """Returns numbers of all analyses, of the network and the examples in a folder."""
    model = keras_resnet.resnet("resnet20", weights=folder / "a.weights.h5", repeats=[1, 1, 1])
    examples = np.load(folder / "a.npz")
    images, labels = examples["images"], examples["labels"]
    gradients = analysis.gradient_norms(model, images, labels)
    lesions = analysis.lesion(model, images, labels)
    maps = analysis.grad_cam(model, images, layer="stage2")
    return {
        "responses": list(analysis.responses(model, images).values()),
        "gradients": [gradients.loss, *gradients.kernels.values(), *gradients.blocks.values()],
        "lesions": [lesions.accuracy, *lesions.without.values()],
        "features": analysis.feature_maps(model, images, "stage3").ravel().tolist(),
        "evidence": keras.ops.convert_to_numpy(maps).ravel().tolist(),
        "kept": [analysis.layers(model, (32, 32)).kept_bytes],
    }


if __name__ == "__main__":
    place = Path(sys.argv[1])
    found = results(place)
    assert keras.backend.backend() == "jax"
    assert "tensorflow" not in sys.modules
    (place / "found.json").write_text(json.dumps(found), encoding="utf-8")
