"""Classifies images with an export: `python saved_models/classify.py MODEL EXAMPLES.npz`.

MODEL is the directory of a SavedModel, which is run with TensorFlow, or a `.tflite` file, which is
run with LiteRT; neither Keras nor this project has to be installed. EXAMPLES.npz holds
`images` [n, height, width, channels] of 0..255 and, if known, `labels` [n];
`python -m train.evaluate --examples_out=EXAMPLES.npz` writes such a file. For a network with one
output a label is 1 if its only class is correct, and else 0.
"""

import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np

SHOWN = 3
SHADES = " .:-=+*#%@"


def run_saved_model(directory: Path, images: np.ndarray) -> np.ndarray:
    """Returns logits [n, classes] of float32 images of 0..255 [n, height, width, channels]."""
    import tensorflow as tf

    predict = tf.saved_model.load(str(directory)).signatures["serving_default"]
    return np.concatenate([predict(images=tf.constant(b))["logits"] for b in batches(images)])


def run_tflite(file: Path, images: np.ndarray) -> np.ndarray:
    """Returns logits [n, classes] of float32 images of 0..255 [n, height, width, channels]."""
    from ai_edge_litert.interpreter import Interpreter

    predict = Interpreter(model_path=str(file)).get_signature_runner("serving_default")
    # An int8 file takes integers.
    dtype = predict.get_input_details()["images"]["dtype"]
    if dtype == np.uint8:
        images = np.rint(images)
    return np.concatenate([predict(images=b.astype(dtype))["logits"] for b in batches(images)])


def batches(images: np.ndarray) -> list[np.ndarray]:
    return [images[i : i + 64] for i in range(0, len(images), 64)]


def probabilities(logits: np.ndarray, activation: str) -> np.ndarray | None:
    """Applies the activation of `model.json` to logits; returns None if it is "none"."""
    if activation == "none":
        return None
    if activation == "sigmoid":
        return np.exp(-np.logaddexp(0, -logits))
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def picture(image: np.ndarray) -> str:
    """Draws a small image with characters, two per pixel."""
    shades = image.mean(-1).astype(int) * (len(SHADES) - 1) // 255
    return "\n".join("".join(2 * SHADES[shade] for shade in row) for row in shades)


def main(model: str, examples: str) -> None:
    path = Path(model)
    tflite = path.suffix == ".tflite"
    folder = path.parent if tflite else path
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    names = about["labels"]
    with np.load(examples) as archive:
        images = archive["images"].astype(np.float32)
        labels = archive.get("labels")
    logits = run_tflite(path, images) if tflite else run_saved_model(path, images)
    shares = probabilities(logits, about.get("activation") or "softmax")
    best = logits.argmax(1)
    for i, image in enumerate(images[:SHOWN]):
        if image.shape[1] <= 32:
            print(picture(image))
        if shares is None:
            score = f"{logits[i, best[i]]:.2f}"
        else:
            score = f"{100 * shares[i, best[i]]:.1f} %"
        print(f"-> {names[best[i]]} ({score})\n")
    result: dict[str, object] = {"model": model, "images": len(images)}
    if labels is not None:
        chosen = best if logits.shape[1] > 1 else logits[:, 0] > 0
        result["top1"] = 100 * float(np.mean(chosen == labels))
    print(json.dumps(result))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(__doc__)
    if len(sys.argv) != 3:
        sys.exit(f"error: expected MODEL EXAMPLES.npz, got {' '.join(sys.argv[1:])!r}")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # labels may be in any language
    try:
        main(*sys.argv[1:])
    except ImportError as error:
        runtime = "ai-edge-litert" if sys.argv[1].endswith(".tflite") else "tensorflow"
        sys.exit(f"error: {error}: pip install {runtime}")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        sys.exit(f"error: {' '.join(f'{error}'.split())}")
