"""All analyses run on JAX without TensorFlow, and find the same."""

import json

import keras
import numpy as np
import pytest

import keras_resnet
from keras_resnet.analysis.gradients import value_and_gradients
from tests.support import analysis_on_jax, helpers


def test_jax_finds_the_same_without_tensorflow(tmp_path) -> None:
    keras.utils.set_random_seed(0)
    model = helpers.randomize(keras_resnet.resnet("resnet20", repeats=[1, 1, 1]))
    random = np.random.default_rng(0)
    images = random.normal(size=(6, 32, 32, 3)).astype("float32")
    model.save_weights(tmp_path / "a.weights.h5")
    np.savez(tmp_path / "a.npz", images=images, labels=random.integers(0, 10, 6))
    command = ["-m", "tests.support.analysis_on_jax", str(tmp_path)]
    done = helpers.python(*command, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    expected = analysis_on_jax.results(tmp_path)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-4, err_msg=name)


def test_a_backend_without_gradients_says_so(monkeypatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    with pytest.raises(ValueError, match="need TensorFlow or JAX, the backend is numpy"):
        value_and_gradients(lambda values: values[0], [np.zeros(1)])
