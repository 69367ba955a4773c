"""TensorFlow Serving's gRPC interface, by `tensorflow-serving-api`."""

import math
import struct
from typing import Any

import grpc

from saved_models.serving.client import protos
from saved_models.serving.client.transport import (
    INPUT,
    SIGNATURE,
    Answer,
    Failure,
    Kind,
    Model,
    outputs,
    rows,
)

messages = protos.load("tensorflow_serving.apis.predict_pb2")
status_messages = protos.load("tensorflow_serving.apis.get_model_status_pb2")
services = protos.load("tensorflow_serving.apis.prediction_service_pb2_grpc")
model_services = protos.load("tensorflow_serving.apis.model_service_pb2_grpc")

DT_STRING = 7
FIELDS = {1: ("float_val", "f"), DT_STRING: ("string_val", ""), 9: ("int64_val", "q")}
TRANSIENT = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
REFUSED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,  # the message is larger than the server's limit
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
}
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    # Finds a restarted server again after seconds; gRPC's default is up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.max_reconnect_backoff_ms", 4000),
)


class Rpc:
    """The transport to HOST:PORT, over one channel that all threads share.

    Args:
        address: HOST:PORT.
        model: which model, and which version of it.
        timeout: seconds per request.
    """

    def __init__(self, address: str, model: Model, timeout: float) -> None:
        self._channel = grpc.insecure_channel(address, options=OPTIONS)
        self._predictions = services.PredictionServiceStub(self._channel)
        self._models = model_services.ModelServiceStub(self._channel)
        self._model = model
        self._timeout = timeout

    def predict(self, images: list[bytes]) -> list[Answer]:
        request = messages.PredictRequest()
        self._name(request.model_spec)
        request.model_spec.signature_name = SIGNATURE
        tensor = request.inputs[INPUT]
        tensor.dtype = DT_STRING
        tensor.tensor_shape.dim.add(size=len(images))
        tensor.string_val.extend(images)
        response = self._call(self._predictions.Predict, request)
        names = outputs(response.outputs)
        columns = {name: _lists(response.outputs[name]) for name in names}
        return rows(columns, len(images))

    def status(self) -> list[dict[str, Any]]:
        request = status_messages.GetModelStatusRequest()
        self._name(request.model_spec)
        response = self._call(self._models.GetModelStatus, request)
        states = status_messages.ModelVersionStatus.State
        status = status_messages.ModelVersionStatus.DESCRIPTOR.fields_by_name["status"].message_type
        codes = status.fields_by_name["error_code"].enum_type.values_by_number
        found = []
        for version in response.model_version_status:
            code = codes[version.status.error_code].name
            found.append(
                {
                    "version": version.version,
                    "state": states.Name(version.state),
                    "status": " ".join(filter(None, (code, version.status.error_message))),
                }
            )
        return found

    def close(self) -> None:
        """Closes the channel, and cancels open requests."""
        self._channel.close()

    def _name(self, spec: Any) -> None:
        spec.name = self._model.name
        if self._model.version is not None:
            spec.version.value = self._model.version
        if self._model.label is not None:
            spec.version_label = self._model.label

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise _failure(error) from error


def _failure(error: Any) -> Failure:
    code = error.code()
    reason = error.details() or "the server gives no reason"
    if "parsing HTTP/2" in reason:
        reason = "the server does not speak gRPC; http://HOST:PORT speaks REST"
        return Failure(Kind.FATAL, "UNEXPECTED", reason)
    if code in TRANSIENT:
        return Failure(Kind.TRANSIENT, code.name, reason)
    return Failure(Kind.REFUSED if code in REFUSED else Kind.FATAL, code.name, reason)


def _lists(tensor: Any) -> list[list[Any]]:
    """Returns a TensorProto [batch, k] as lists; [] if it is not one, or its values are missing.

    Its values are in the field of its type or, packed, in `tensor_content`.
    """
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.dtype not in FIELDS or len(shape) != 2:
        return []
    field, letter = FIELDS[tensor.dtype]
    values = list(getattr(tensor, field))
    if content := tensor.tensor_content:
        values = [value for (value,) in struct.iter_unpack(f"<{letter}", content)]
    if len(values) != math.prod(shape):
        return []
    if tensor.dtype == DT_STRING:
        values = [value.decode(errors="replace") for value in values]
    return [values[i * shape[1] : (i + 1) * shape[1]] for i in range(shape[0])]
