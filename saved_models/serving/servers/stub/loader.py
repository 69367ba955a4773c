"""TensorFlow's C++ SavedModel loader, which TensorFlow Serving links, through the wheel's C API.

Neither Keras nor TensorFlow's Python is imported. Inputs are checked against the signature before a
run, with the error codes of TensorFlow Serving.
"""

import ctypes
import importlib.util
from collections.abc import Mapping
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from saved_models.serving.client import protos

TSTRING = 24  # bytes of a TF_TString
STRING = 7
# TensorFlow's numbers for types, with NumPy's types and with the names in its error messages.
DTYPES: dict[int, Any] = {
    1: np.float32,
    2: np.float64,
    3: np.int32,
    4: np.uint8,
    STRING: object,
    9: np.int64,
    10: np.bool_,
}
NAMES = {1: "float", 2: "double", 3: "int32", 4: "uint8", STRING: "string", 9: "int64", 10: "bool"}
CODES = [  # by number
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
]
Arrays = Mapping[str, np.ndarray]


class Refusal(Exception):
    """An error with the name of TensorFlow's code for it, and a message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class _Output(ctypes.Structure):
    _fields_ = (("operation", c_void_p), ("index", c_int))


class _Buffer(ctypes.Structure):
    _fields_ = (("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p))


# Functions of the C API without their prefix TF_: the type of the result, and of the arguments.
FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "NewStatus": (c_void_p, []),
    "DeleteStatus": (None, [c_void_p]),
    "GetCode": (c_int, [c_void_p]),
    "Message": (c_char_p, [c_void_p]),
    "NewBuffer": (POINTER(_Buffer), []),
    "DeleteBuffer": (None, [POINTER(_Buffer)]),
    "NewSessionOptions": (c_void_p, []),
    "NewGraph": (c_void_p, []),
    "LoadSessionFromSavedModel": (
        c_void_p,
        [
            c_void_p,
            c_void_p,
            c_char_p,
            POINTER(c_char_p),
            c_int,
            c_void_p,
            POINTER(_Buffer),
            c_void_p,
        ],
    ),
    "GraphOperationByName": (c_void_p, [c_void_p, c_char_p]),
    "SessionRun": (
        None,
        [
            c_void_p,
            c_void_p,
            POINTER(_Output),
            POINTER(c_void_p),
            c_int,
            POINTER(_Output),
            POINTER(c_void_p),
            c_int,
            c_void_p,
            c_int,
            c_void_p,
            c_void_p,
        ],
    ),
    "AllocateTensor": (c_void_p, [c_int, POINTER(c_int64), c_int, c_size_t]),
    "DeleteTensor": (None, [c_void_p]),
    "TensorType": (c_int, [c_void_p]),
    "NumDims": (c_int, [c_void_p]),
    "Dim": (c_int64, [c_void_p, c_int]),
    "TensorData": (c_void_p, [c_void_p]),
    "TensorByteSize": (c_size_t, [c_void_p]),
    "StringInit": (None, [c_void_p]),
    "StringCopy": (None, [c_void_p, c_char_p, c_size_t]),
    "StringGetDataPointer": (c_void_p, [c_void_p]),
    "StringGetSize": (c_size_t, [c_void_p]),
}


@cache
def _api() -> Any:
    """Returns an object with the functions of `FUNCTIONS`."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("the C++ loader needs: pip install tensorflow")
    folder = Path(spec.submodule_search_locations[0])
    # With local symbols: global ones of BoringSSL would crash the next import of hashlib.
    framework = ctypes.CDLL(str(folder / "libtensorflow_framework.so.2"))
    library = ctypes.CDLL(str(folder / "libtensorflow_cc.so.2"))
    for name, (result, arguments) in FUNCTIONS.items():
        holder = library if hasattr(library, f"TF_{name}") else framework
        function = getattr(holder, f"TF_{name}")
        function.restype = result
        function.argtypes = arguments
        setattr(_api, name, function)
    return _api


class _Status:
    """A TF_Status; on leaving, an error in it is raised as a `Refusal`."""

    def __enter__(self) -> int:
        self._pointer = _api().NewStatus()
        return self._pointer

    def __exit__(self, *_: object) -> None:
        code = _api().GetCode(self._pointer)
        message = _api().Message(self._pointer)
        _api().DeleteStatus(self._pointer)
        if code:
            raise Refusal(CODES[code], message.decode(errors="replace"))


class Loaded:
    """A SavedModel in its own session; `run` may be called from several threads.

    Args:
        directory: of the SavedModel.

    Raises:
        Refusal: if it cannot be loaded.
        ImportError: without TensorFlow.
    """

    def __init__(self, directory: Path) -> None:
        api = _api()
        self._graph = api.NewGraph()
        buffer = api.NewBuffer()
        tags = (c_char_p * 1)(b"serve")
        with _Status() as status:
            self._session = api.LoadSessionFromSavedModel(
                api.NewSessionOptions(),
                None,
                bytes(directory),
                tags,
                1,
                self._graph,
                buffer,
                status,
            )
        graph = protos.load("tensorflow.core.protobuf.meta_graph_pb2").MetaGraphDef()
        graph.ParseFromString(ctypes.string_at(buffer.contents.data, buffer.contents.length))
        api.DeleteBuffer(buffer)
        self.signatures = dict(graph.signature_def)

    def run(self, name: str, inputs: Arrays, wanted: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
        """Runs a signature; returns all of its outputs, or only those named in `wanted`.

        Args:
            name: of the signature; "" for `serving_default`.
            inputs: arrays by their names; strings are arrays of bytes objects.
            wanted: names of outputs.

        Raises:
            Refusal: with the code and, nearly, the words of TensorFlow Serving.
        """
        signature = self._checked(name, inputs)
        outputs = {key: signature.outputs[key] for key in wanted or sorted(signature.outputs)}
        tensors: list[int] = []
        try:
            tensors.extend(_to_tensor(value) for value in inputs.values())
            return self._compute([signature.inputs[key] for key in inputs], tensors, outputs)
        finally:
            for tensor in tensors:
                _api().DeleteTensor(tensor)  # and the strings in it

    def _compute(self, keys: list[Any], tensors: list[int], outputs: dict[str, Any]) -> Any:
        results = (c_void_p * len(outputs))()
        feeds = self._places(keys)
        fetches = self._places(outputs.values())
        with _Status() as status:
            _api().SessionRun(
                self._session,
                None,
                feeds,
                (c_void_p * len(tensors))(*tensors),
                len(tensors),
                fetches,
                results,
                len(outputs),
                None,
                0,
                None,
                status,
            )
        try:
            return {key: _from_tensor(result) for key, result in zip(outputs, results, strict=True)}
        finally:
            for result in results:
                _api().DeleteTensor(result)

    def _places(self, infos: Any) -> Any:
        names = [info.name.rpartition(":") for info in infos]
        places = (_Output * len(names))()
        for place, (name, _, index) in zip(places, names, strict=True):
            place.operation = _api().GraphOperationByName(self._graph, name.encode())
            place.index = int(index)
        return places

    def _checked(self, name: str, inputs: Arrays) -> Any:
        name = name or "serving_default"
        if name not in self.signatures:
            raise Refusal("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        signature = self.signatures[name]
        sent = set(inputs)
        required = set(signature.inputs)
        if sent != required:
            extra = ",".join(sorted(sent - required))
            missing = ",".join(sorted(required - sent))
            raise Refusal(
                "INVALID_ARGUMENT",
                f"input size does not match signature: {len(sent)}!={len(required)}."
                f" Sent extra: {{{extra}}}. Missing but required: {{{missing}}}.",
            )
        for key, value in inputs.items():
            dtype = dtype_of(value)
            expected = signature.inputs[key].dtype
            if dtype != expected:
                raise Refusal(
                    "INVALID_ARGUMENT",
                    f"input {key} is to be {NAMES.get(expected, expected)},"
                    f" but {NAMES.get(dtype, dtype)} is sent",
                )
        return signature


def dtype_of(value: np.ndarray) -> int:
    """Returns TensorFlow's number for the type of an array; bytes have the type object."""
    for number, dtype in DTYPES.items():
        if value.dtype == dtype:
            return number
    raise Refusal("INVALID_ARGUMENT", f"tensor parsing error: dtype {value.dtype}")


def _to_tensor(value: np.ndarray) -> int:
    api = _api()
    number = dtype_of(value)
    value = np.asarray(value, order="C")
    size = value.size * TSTRING if number == STRING else value.nbytes
    tensor = api.AllocateTensor(number, (c_int64 * value.ndim)(*value.shape), value.ndim, size)
    data = api.TensorData(tensor)
    if number != STRING:
        ctypes.memmove(data, value.ctypes.data, size)
        return tensor
    for i, text in enumerate(value.flat):
        api.StringInit(data + i * TSTRING)
        api.StringCopy(data + i * TSTRING, text, len(text))
    return tensor


def _from_tensor(tensor: int) -> np.ndarray:
    api = _api()
    number = api.TensorType(tensor)
    shape = [api.Dim(tensor, i) for i in range(api.NumDims(tensor))]
    data = api.TensorData(tensor)
    size = api.TensorByteSize(tensor)
    if number != STRING:
        return np.frombuffer(ctypes.string_at(data, size), DTYPES[number]).reshape(shape)
    texts = np.empty(int(np.prod(shape)), object)
    for i in range(texts.size):
        place = data + i * TSTRING
        length = api.StringGetSize(place)
        texts[i] = ctypes.string_at(api.StringGetDataPointer(place), length)
    return texts.reshape(shape)
