"""Classifies images with an export: `python saved_models/classify.py MODEL EXAMPLES.npz`.

MODEL is the directory of a SavedModel, run with TensorFlow alone, or a `.tflite` file, run
with LiteRT alone: neither Keras nor this project has to be installed. EXAMPLES.npz holds
`images` [n, height, width, channels] of 0..255 and, where known, `labels` [n]; it is what
`python -m train.evaluate --examples_out=EXAMPLES.npz` writes.
"""

import json
import sys
from pathlib import Path

import numpy as np

SHOWN = 3
SHADES = " .:-=+*#%@"


def run_saved_model(directory: Path, images: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    predict = tf.saved_model.load(str(directory)).signatures["serving_default"]
    return np.concatenate([predict(images=tf.constant(b))["logits"] for b in batches(images)])


def run_tflite(file: Path, images: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    predict = Interpreter(model_path=str(file)).get_signature_runner("serving_default")
    # An int8 file takes whole levels of grey.
    dtype = predict.get_input_details()["images"]["dtype"]
    if dtype == np.uint8:
        images = np.rint(images)
    return np.concatenate([predict(images=b.astype(dtype))["logits"] for b in batches(images)])


def batches(images: np.ndarray) -> list[np.ndarray]:
    return [images[i : i + 64] for i in range(0, len(images), 64)]


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def picture(image: np.ndarray) -> str:
    """Draws a small image with characters, two to a pixel."""
    shades = image.mean(-1).astype(int) * (len(SHADES) - 1) // 255
    return "\n".join("".join(2 * SHADES[shade] for shade in row) for row in shades)


def main(model: str, examples: str) -> None:
    path = Path(model)
    run, folder = (run_tflite, path.parent) if path.suffix == ".tflite" else (run_saved_model, path)
    names = json.loads((folder / "model.json").read_text())["labels"]
    with np.load(examples) as archive:
        images = archive["images"].astype(np.float32)
        labels = archive.get("labels")
    probabilities = softmax(run(path, images))
    best = probabilities.argmax(1)
    for image, row, i in zip(images[:SHOWN], probabilities, best, strict=False):
        if image.shape[1] <= 32:
            print(picture(image))
        print(f"-> {names[i]} ({100 * row[i]:.1f} %)\n")
    result = {"model": model, "images": len(images)}
    if labels is not None:
        result["top1"] = 100 * float(np.mean(best == labels))
    print(json.dumps(result))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
