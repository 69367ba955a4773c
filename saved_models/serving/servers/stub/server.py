"""TensorFlow Serving's gRPC and REST interfaces over the C++ SavedModel loader.

Answers are computed by the code that TensorFlow Serving links. The protocol is a separate
implementation, written from its definition.
"""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple, Protocol

import grpc
import numpy as np
from google.protobuf import text_format

from saved_models.serving.client import protos
from saved_models.serving.servers.stub.loader import DTYPES, STRING, Loaded, Refusal, dtype_of
from saved_models.serving.servers.stub.rest import handler

predict_pb2 = protos.load("tensorflow_serving.apis.predict_pb2")
metadata_pb2 = protos.load("tensorflow_serving.apis.get_model_metadata_pb2")
status_pb2 = protos.load("tensorflow_serving.apis.get_model_status_pb2")
config_pb2 = protos.load("tensorflow_serving.config.model_server_config_pb2")
services = protos.load("tensorflow_serving.apis.prediction_service_pb2_grpc")
model_services = protos.load("tensorflow_serving.apis.model_service_pb2_grpc")
FIELDS = {  # of a TensorProto, by type
    1: "float_val",
    2: "double_val",
    3: "int_val",
    4: "int_val",
    STRING: "string_val",
    9: "int64_val",
    10: "bool_val",
}
THREADS = 64
Arrays = dict[str, np.ndarray]


class Asked(NamedTuple):
    """The model that a request is for: a version, a label, or the newest version."""

    name: str
    version: int | None = None
    label: str | None = None


class Backend(Protocol):
    """What computes the answers. Every method raises `Refusal`."""

    def states(self, asked: Asked) -> list[tuple[int, str]]:
        """Returns versions, each with the name of its state."""

    def signatures(self, asked: Asked) -> tuple[int, dict[str, Any]]:
        """Returns the version, and its SignatureDefs by name."""

    def run(
        self, asked: Asked, signature: str, inputs: Arrays, wanted: tuple[str, ...]
    ) -> tuple[int, Arrays]:
        """Returns the version, and the outputs of a signature by name; see `Loaded.run`."""


class Models:
    """The models of a `models.config`, in the versions that its policies choose.

    Args:
        config: the file; relative paths in it start from its folder.

    Raises:
        OSError, ValueError, KeyError: if a file or a version is missing.
        text_format.ParseError: if the file is not a ModelServerConfig.
        Refusal: if a SavedModel cannot be loaded.
    """

    def __init__(self, config: Path) -> None:
        parsed = text_format.Parse(config.read_text(), config_pb2.ModelServerConfig())
        self._loaded: dict[str, dict[int, Loaded]] = {}
        self._labels: dict[str, dict[str, int]] = {}
        for row in parsed.model_config_list.config:
            versions = _chosen(row, config.parent / row.base_path)
            self._loaded[row.name] = {n: Loaded(path) for n, path in versions.items()}
            self._labels[row.name] = dict(row.version_labels)

    def states(self, asked: Asked) -> list[tuple[int, str]]:
        versions = self._loaded.get(asked.name, {})
        if asked.version is None and asked.label is None and versions:
            return [(version, "AVAILABLE") for version in sorted(versions, reverse=True)]
        return [(self._find(asked)[0], "AVAILABLE")]

    def signatures(self, asked: Asked) -> tuple[int, dict[str, Any]]:
        version, loaded = self._find(asked)
        return version, loaded.signatures

    def run(
        self, asked: Asked, signature: str, inputs: Arrays, wanted: tuple[str, ...] = ()
    ) -> tuple[int, Arrays]:
        version, loaded = self._find(asked)
        return version, loaded.run(signature, inputs, wanted)

    def _find(self, asked: Asked) -> tuple[int, Loaded]:
        versions = self._loaded.get(asked.name, {})
        version = asked.version
        if asked.label is not None:
            labels = self._labels.get(asked.name, {})
            if asked.label not in labels:
                message = f"Unrecognized servable version label: {asked.label}"
                raise Refusal("INVALID_ARGUMENT", message)
            version = labels[asked.label]
        if version is None:
            version = max(versions, default=0)
        if version not in versions:
            message = f"Servable not found for request: Specific({asked.name}, {version})"
            if asked.version is None:
                message = f"Servable not found for request: Latest({asked.name})"
            raise Refusal("NOT_FOUND", message)
        return version, versions[version]


def _chosen(row: Any, base: Path) -> dict[int, Path]:
    versions = {int(p.name): p for p in base.iterdir() if p.name.isdecimal()}
    policy = row.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return versions
    if kind == "specific":
        return {version: versions[version] for version in policy.specific.versions}
    count = policy.latest.num_versions or 1
    return {version: versions[version] for version in sorted(versions)[-count:]}


class _Service:
    """The methods of both gRPC services, PredictionService and ModelService."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        with _refusing(context):
            inputs = {name: to_array(tensor) for name, tensor in request.inputs.items()}
            signature = request.model_spec.signature_name
            wanted = tuple(request.output_filter)
            version, outputs = self._backend.run(
                _asked(request.model_spec), signature, inputs, wanted
            )
            response = predict_pb2.PredictResponse()
            _answer(response.model_spec, request.model_spec, version)
            for name, value in outputs.items():
                _fill(response.outputs[name], value)
            return response

    def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        with _refusing(context):
            if list(request.metadata_field) != ["signature_def"]:
                message = f"Metadata field {list(request.metadata_field)} is not supported"
                raise Refusal("INVALID_ARGUMENT", message)
            version, signatures = self._backend.signatures(_asked(request.model_spec))
            response = metadata_pb2.GetModelMetadataResponse()
            _answer(response.model_spec, request.model_spec, version)
            table = metadata_pb2.SignatureDefMap()
            for name, signature in signatures.items():
                table.signature_def[name].CopyFrom(signature)
            response.metadata["signature_def"].Pack(table)
            return response

    def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        with _refusing(context):
            response = status_pb2.GetModelStatusResponse()
            for version, state in self._backend.states(_asked(request.model_spec)):
                response.model_version_status.add(version=version, state=state)
            return response

    def _unimplemented(self, _request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "the stub only predicts")

    Classify = Regress = MultiInference = HandleReloadConfigRequest = _unimplemented
    PredictStreamed = _unimplemented


@contextlib.contextmanager
def _refusing(context: Any) -> Iterator[None]:
    try:
        yield
    except Refusal as refusal:
        context.abort(getattr(grpc.StatusCode, refusal.code), refusal.message)


def _asked(spec: Any) -> Asked:
    choice = spec.WhichOneof("version_choice")
    version = spec.version.value if choice == "version" else None
    return Asked(spec.name, version, spec.version_label if choice == "version_label" else None)


def _answer(spec: Any, asked: Any, version: int) -> None:
    spec.name = asked.name
    spec.version.value = version
    spec.signature_name = asked.signature_name


def to_array(tensor: Any) -> np.ndarray:
    """Returns a TensorProto as an array, by the rules of TensorFlow's `Tensor::FromProto`.

    Raises:
        Refusal: if its values do not fit its shape, or its type is unsupported.
    """
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.dtype not in DTYPES:
        raise Refusal("INVALID_ARGUMENT", f"tensor parsing error: dtype {tensor.dtype}")
    dtype = DTYPES[tensor.dtype]
    count = int(np.prod(shape))
    if tensor.tensor_content:
        if len(tensor.tensor_content) != count * np.dtype(dtype).itemsize:
            raise Refusal("INVALID_ARGUMENT", "tensor parsing error: bytes do not fit the shape")
        return np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
    values = list(getattr(tensor, FIELDS[tensor.dtype]))
    if len(values) > count or (count and not values):
        raise Refusal("INVALID_ARGUMENT", "tensor parsing error: values do not fit the shape")
    array: np.ndarray = np.empty(count, dtype)
    array[:] = values + values[-1:] * (count - len(values))  # the last value is repeated
    return array.reshape(shape)


def _fill(tensor: Any, value: np.ndarray) -> None:
    tensor.dtype = dtype_of(value)
    for size in value.shape:
        tensor.tensor_shape.dim.add(size=size)
    getattr(tensor, FIELDS[tensor.dtype]).extend(value.ravel().tolist())


@contextlib.contextmanager
def serving(backend: Backend) -> Iterator[dict[str, Any]]:
    """Serves on free ports of this machine; yields the addresses, by "grpc" and "rest"."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(THREADS), options=options)
    service = _Service(backend)
    services.add_PredictionServiceServicer_to_server(service, server)
    model_services.add_ModelServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler(backend, Asked), bind_and_activate=False)
    http.request_queue_size = 128
    http.server_bind()
    http.server_activate()
    Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield {"grpc": f"127.0.0.1:{port}", "rest": f"http://127.0.0.1:{http.server_port}"}
    finally:
        http.shutdown()
        http.server_close()
        server.stop(None).wait()
