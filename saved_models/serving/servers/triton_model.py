"""A model of Triton's Python backend: an export that classifies encoded images.

Triton loads it as `NAME/VERSION/model.py`, with the export beside it as `model.savedmodel`;
`python -m saved_models.serving.servers.triton` writes both.
"""

from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton  # part of Triton

from saved_models.serving.servers.loaded import INPUT, Classifier, Refused


class TritonPythonModel:
    """The class that Triton looks for; the names of its methods are Triton's."""

    def initialize(self, args: dict[str, str]) -> None:
        folder = Path(args["model_repository"], args["model_version"])
        self._classify = Classifier(folder / "model.savedmodel")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answers the requests that Triton has merged, with one run if none of them is invalid."""
        batches = [self._images(request) for request in requests]
        try:
            outputs = self._classify([image for batch in batches for image in batch])
        except Refused:
            # One invalid image must not fail the requests of other clients.
            return [self._alone(batch) for batch in batches]
        ends = np.cumsum([len(batch) for batch in batches])[:-1]
        parts = {name: np.split(value, ends) for name, value in outputs.items()}
        return [
            _response({name: part[i] for name, part in parts.items()}) for i in range(len(batches))
        ]

    def _images(self, request: Any) -> list[bytes]:
        tensor = triton.get_input_tensor_by_name(request, INPUT)
        return list(tensor.as_numpy().reshape(-1))

    def _alone(self, images: list[bytes]) -> Any:
        try:
            return _response(self._classify(images))
        except Refused as refused:
            error = triton.TritonError(str(refused), triton.TritonError.INVALID_ARG)
            return triton.InferenceResponse(error=error)


def _response(outputs: dict[str, Any]) -> Any:
    tensors = [triton.Tensor(name, value) for name, value in outputs.items()]
    return triton.InferenceResponse(output_tensors=tensors)
