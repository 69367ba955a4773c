"""Serves an export with KServe: `python -m saved_models.serving.servers.kserve --model_dir=DIR/1`.

It needs `pip install kserve tensorflow`. Protocol v1 takes `{"instances": [{"b64": ...}, ...]}`, as
TensorFlow Serving does; v2, over HTTP and gRPC, takes an input `image_bytes` of type BYTES [batch],
in base64 if it is JSON. `--model_name`, `--http_port` and all other flags of KServe work.
"""

import argparse
import asyncio
import base64
import binascii
import json
import struct
import sys
import uuid
from pathlib import Path
from typing import Any

try:
    import kserve
    from kserve import errors, model_server
except ImportError as error:
    if __name__ == "__main__":
        sys.exit(f"error: {error}: pip install kserve tensorflow")
    raise

from saved_models.serving.servers.loaded import INPUT, Classifier, Refused

TYPES = {"classes": "INT64", "labels": "BYTES", "probabilities": "FP32", "logits": "FP32"}


class Model(kserve.Model):
    """An export with the interface of KServe's models.

    Args:
        name: of the model, in URLs.
        directory: of the export.
    """

    def __init__(self, name: str, directory: Path) -> None:
        super().__init__(name)
        self._directory = directory
        self.load()

    def load(self) -> bool:
        self._classify = Classifier(self._directory)
        self.ready = True
        return self.ready

    def get_input_types(self) -> list[dict[str, Any]]:
        return [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}]

    def get_output_types(self) -> list[dict[str, Any]]:
        names = self._classify.outputs
        return [{"name": name, "datatype": TYPES[name], "shape": [-1, -1]} for name in names]

    async def predict(self, payload: Any, *_: object) -> Any:
        """Answers a request of v2 or v1, in another thread, so that others are not held up."""
        tensors = isinstance(payload, kserve.InferRequest)
        images = from_tensors(payload) if tensors else from_rows(payload)
        try:
            outputs = await asyncio.to_thread(self._classify, images)
        except Refused as refused:
            raise errors.InvalidInput(str(refused)) from refused
        return self._to_tensors(payload, outputs) if tensors else to_rows(outputs)

    def _to_tensors(self, request: kserve.InferRequest, outputs: dict[str, Any]) -> Any:
        tensors = []
        for name, value in outputs.items():
            tensor = kserve.InferOutput(name, list(value.shape), TYPES[name])
            tensor.set_data_from_numpy(value, binary_data=request.use_binary_outputs)
            tensors.append(tensor)
        return kserve.InferResponse(
            response_id=request.id or str(uuid.uuid4()),
            model_name=self.name,
            infer_outputs=tensors,
            use_binary_outputs=request.use_binary_outputs,
            requested_outputs=request.request_outputs,
        )


def from_rows(payload: Any) -> list[bytes]:
    """Returns the images of a request of v1.

    Each of `instances` is `{"b64": ...}` or `{"image_bytes": {"b64": ...}}`.

    Raises:
        errors.InvalidInput: for anything else.
    """
    if isinstance(payload, bytes):  # as curl sends it, without the Content-Type of JSON
        try:
            payload = json.loads(payload)
        except ValueError as error:
            raise errors.InvalidInput(f"the request is not JSON: {error}") from error
    rows = payload.get("instances") if isinstance(payload, dict) else None
    if not isinstance(rows, list):
        raise errors.InvalidInput('expected {"instances": [{"b64": ...}, ...]}')
    rows = [row.get(INPUT, row) if isinstance(row, dict) else None for row in rows]
    if not all(isinstance(row, dict) and isinstance(row.get("b64"), str) for row in rows):
        raise errors.InvalidInput('each of "instances" has to be {"b64": ...}')
    return [_decoded(row["b64"]) for row in rows]


def from_tensors(request: kserve.InferRequest) -> list[bytes]:
    """Returns the images of a request of v2: bytes by gRPC, base64 by HTTP.

    KServe decodes every string of an HTTP request as text, which images are not.

    Raises:
        errors.InvalidInput: for other inputs.
    """
    found = [(tensor.name, tensor.datatype) for tensor in request.inputs]
    if found != [(INPUT, "BYTES")]:
        raise errors.InvalidInput(f"expected one input, {(INPUT, 'BYTES')}; got {found}")
    try:
        values = request.inputs[0].as_numpy().reshape(-1)
    except (ValueError, struct.error) as error:
        raise errors.InvalidInput(f"{INPUT} does not have its shape: {error}") from error
    return [value if isinstance(value, bytes) else _decoded(value) for value in values]


def to_rows(outputs: dict[str, Any]) -> dict[str, Any]:
    """Returns outputs [batch, k] as the answer of v1, one dictionary per image."""
    columns = {name: value.tolist() for name, value in outputs.items()}
    columns["labels"] = [[label.decode() for label in row] for row in columns["labels"]]
    rows = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise errors.InvalidInput(f"an image is not base64: {error}") from error


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[model_server.parser])
    parser.add_argument("--model_dir", type=Path, required=True, help="an export, NAME/VERSION")
    chosen = parser.parse_args()
    try:
        model = Model(chosen.model_name, chosen.model_dir)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    kserve.ModelServer().start([model])
