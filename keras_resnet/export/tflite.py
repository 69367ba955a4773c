"""A float32 TFLite file, converted from the SavedModel beside it."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf


def check_runtime() -> None:
    """Raises ValueError if the interpreter that checks the file is not installed."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise ValueError("checking TFLite needs: pip install 'he-keras-resnet[serving]'")


def write(directory: Path, file: Path) -> None:
    """Converts a SavedModel; the converter folds each BN into the convolution before it."""
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(directory), signature_keys=["serving_default"]
    )
    file.write_bytes(converter.convert())


def run(file: Path, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Returns the logits that a TFLite file computes, [batch, classes]."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(file)).get_signature_runner("serving_default")
    return np.concatenate([runner(images=image[np.newaxis])["logits"] for image in images])


def runner(file):  # interim, until the new module is here
    return lambda images: run(file, images)
