"""How many images an export classifies rightly in TensorFlow's C++ SavedModel loader.

`python -m tests.support.loaded_accuracy EXPORT_DIR EXAMPLES.npz` prints, as JSON, the number of
right ones and of all. It runs in a process of its own, into which neither Keras nor TensorFlow's
Python comes.
"""

import json
import sys
from pathlib import Path

import numpy as np

from saved_models.serving.servers.stub.loader import Loaded

BATCH = 100


def count_right(export: Path, examples: Path) -> tuple[int, int]:
    loaded = Loaded(export)
    with np.load(examples) as archive:
        images = archive["images"].astype(np.float32)
        labels = archive["labels"]
    right = 0
    for start in range(0, len(images), BATCH):
        batch = slice(start, start + BATCH)
        outputs = loaded.run("serving_default", {"images": images[batch]})
        right += int((outputs["logits"].argmax(1) == labels[batch]).sum())
    return right, len(images)


if __name__ == "__main__":
    print(json.dumps(count_right(*map(Path, sys.argv[1:]))))
    assert not {"keras", "tensorflow.python"} & set(sys.modules)
