"""The first request to ResNet-50, with and without warm-up: `python -m benchmarks.first_request`.

TensorFlow's C++ loader, in a fresh process on one core each time, loads the export, replays its
warm-up requests or not, and answers one image. CPU seconds.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import measure
from saved_models.serving.servers.stub.loader import Loaded

ROUNDS = 3
NOTHING = 1e-3  # seconds
COLUMNS = ("load", "warm-up", "first request", "later request")
SIGNATURE = "serving_default"


def export(folder: Path) -> None:
    """Writes ResNet-50 v1.5 with random weights, and its warm-up requests."""
    import keras_resnet
    from keras_resnet import preprocessing, weights
    from keras_resnet.export import warmup
    from keras_resnet.export.formats import FORMATS
    from keras_resnet.export.source import Source
    from keras_resnet.manifest import Manifest
    from keras_resnet.rewrite.fold import fold

    model = keras_resnet.ResNet50V1_5(input_shape=(224, 224, 3), classifier_activation=None)
    scaling = preprocessing.mode("torch")
    manifest = Manifest("resnet50_v1_5", (224, 224, 3), weights.labels(1000), scaling)
    FORMATS["saved_model"].write(Source(fold(model), manifest, model.endpoints), folder)
    warmup.write(manifest, folder)


def requests(folder: Path) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Returns the recorded requests: signature and inputs of each."""
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    found = []
    for record in tf.data.TFRecordDataset(str(folder / "assets.extra/tf_serving_warmup_requests")):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        found.append((request.model_spec.signature_name, inputs))
    return found


def seconds(folder: str, warm: bool) -> dict[str, float]:
    """Returns the CPU seconds of each part, in this process."""
    replayed = requests(Path(folder)) if warm else []
    images = np.zeros([1, 224, 224, 3], np.float32)
    loaded: list[Loaded] = []

    def request() -> None:
        loaded[0].run(SIGNATURE, {"images": images})

    def replay() -> None:
        for signature, inputs in replayed:
            loaded[0].run(signature, inputs)

    def load() -> None:
        loaded.append(Loaded(Path(folder)))

    taken = {}
    for name, part in zip(COLUMNS, (load, replay, request, request), strict=True):
        start = time.process_time()
        part()
        taken[name] = time.process_time() - start
    return taken


def main() -> None:
    measure.pin()
    rounds: dict[str, list[dict[str, float]]] = {"without warm-up": [], "after warm-up": []}
    with tempfile.TemporaryDirectory() as folder:
        export(Path(folder))
        for _ in range(ROUNDS):
            for name, taken in rounds.items():
                call = f"first_request.seconds({folder!r}, {name == 'after warm-up'})"
                program = (
                    f"import json; from benchmarks import first_request; print(json.dumps({call}))"
                )
                done = subprocess.run(
                    [sys.executable, "-c", program], capture_output=True, check=True, text=True
                )
                taken.append(json.loads(done.stdout.splitlines()[-1]))
    rows = []
    for name, taken in rounds.items():
        medians = [statistics.median(one[column] for one in taken) for column in COLUMNS]
        rows.append(
            (name, *(measure.digits(value) if value > NOTHING else "" for value in medians))
        )
    notes = (f"CPU seconds, medians of {ROUNDS} fresh processes.",)
    command = "python -m benchmarks.first_request"
    measure.Columns("first_request", command, ("", *COLUMNS), tuple(rows), notes).write()


if __name__ == "__main__":
    main()
