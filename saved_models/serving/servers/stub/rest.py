"""The REST interface of the stub: JSON by rows ("instances") and by columns ("inputs")."""

import base64
import json
import re
from http.server import BaseHTTPRequestHandler
from typing import Any

import numpy as np
from google.protobuf import json_format

from saved_models.serving.servers.stub.loader import DTYPES, NAMES, STRING, Refusal

STATUS = {  # HTTP, by code
    "INVALID_ARGUMENT": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "FAILED_PRECONDITION": 400,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
PATH = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
    r"(?P<verb>:predict|/metadata)?"
)


def handler(backend: Any, asked_type: Any) -> type[BaseHTTPRequestHandler]:
    """Returns a class of request handlers.

    Args:
        backend: computes the answers; see `server.Backend`.
        asked_type: made of a model's name, version and label for each request.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections open
        wbufsize = -1  # sends headers and body in one packet
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._respond(lambda asked, verb: _described(backend, asked, verb), ("", "/metadata"))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._respond(lambda asked, _: _predicted(backend, asked, body), (":predict",))

        def _respond(self, answer: Any, verbs: tuple[str, ...]) -> None:
            try:
                found = PATH.fullmatch(self.path)
                if not found or (found["verb"] or "") not in verbs:
                    message = f"Malformed request: {self.command} {self.path}"
                    raise Refusal("INVALID_ARGUMENT", message)
                version = found["version"] and int(found["version"])
                asked = asked_type(found["name"], version, found["label"])
                content = answer(asked, found["verb"])
                code = 200
            except Refusal as refusal:
                content = {"error": refusal.message}
                code = STATUS.get(refusal.code, 500)
            data = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Logs nothing: the only output is the addresses."""

    return Handler


def _described(backend: Any, asked: Any, verb: str | None) -> dict[str, Any]:
    if not verb:
        status = {"error_code": "OK", "error_message": ""}
        rows = [
            {"version": str(version), "state": state, "status": status}
            for version, state in backend.states(asked)
        ]
        return {"model_version_status": rows}
    version, signatures = backend.signatures(asked)
    table = {
        name: json_format.MessageToDict(value, preserving_proto_field_name=True)
        for name, value in signatures.items()
    }
    spec = {"name": asked.name, "signature_name": "", "version": str(version)}
    metadata = {"signature_def": {"signature_def": table}}
    return {"model_spec": spec, "metadata": metadata}


def _predicted(backend: Any, asked: Any, body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body)
    except ValueError as error:
        raise Refusal("INVALID_ARGUMENT", f"JSON Parse error: {error}") from error
    if not isinstance(request, dict) or ("instances" in request) == ("inputs" in request):
        raise Refusal("INVALID_ARGUMENT", "Missing 'inputs' or 'instances' key")
    name = request.get("signature_name", "serving_default")
    signature = backend.signatures(asked)[1].get(name)
    if signature is None:
        raise Refusal(
            "INVALID_ARGUMENT", f'Serving signature name: "{name}" not found in signature def'
        )
    by_rows = "instances" in request
    columns = _from_rows(request["instances"]) if by_rows else _from_columns(request["inputs"])
    if columns.keys() == {None}:  # the only input needs no name
        columns = dict.fromkeys(signature.inputs, columns[None])
    known = signature.inputs
    # Inputs of unknown names are refused by the backend, whatever they hold.
    inputs = {
        key: _array(key, value, known[key].dtype) if key in known else np.zeros(0)
        for key, value in columns.items()
    }
    outputs = {
        key: _encoded(key, value.tolist())
        for key, value in backend.run(asked, name, inputs, ())[1].items()
    }
    if not by_rows:
        return {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}
    if len(outputs) == 1:
        return {"predictions": next(iter(outputs.values()))}
    zipped = zip(*outputs.values(), strict=True)
    return {"predictions": [dict(zip(outputs, row, strict=True)) for row in zipped]}


def _named(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() != {"b64"}


def _from_rows(rows: Any) -> dict[Any, list[Any]]:
    if not isinstance(rows, list) or not rows:
        raise Refusal("INVALID_ARGUMENT", "Excepting 'instances' to be a list/array, not empty")
    if not any(map(_named, rows)):
        return {None: rows}
    if not all(_named(row) and row.keys() == rows[0].keys() for row in rows):
        raise Refusal("INVALID_ARGUMENT", "elements of 'instances' have different names")
    return {key: [row[key] for row in rows] for key in rows[0]}


def _from_columns(columns: Any) -> dict[Any, Any]:
    return columns if _named(columns) else {None: columns}


def _array(key: str, value: Any, dtype: int) -> np.ndarray:
    """Returns nested lists as an array of the type that the signature asks for."""
    shape = []
    level = value
    while isinstance(level, list):
        shape.append(len(level))
        level = level[0] if level else None
    leaves = list(_leaves(value, shape, key))
    try:
        array: np.ndarray = np.empty(len(leaves), DTYPES[dtype])
        array[:] = [_leaf(leaf, dtype) for leaf in leaves]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        message = f"JSON value of {key} is not of expected type: {NAMES.get(dtype, dtype)}"
        raise Refusal("INVALID_ARGUMENT", message) from error
    return array.reshape(shape)


def _leaves(value: Any, shape: list[int], key: str) -> Any:
    if not shape:
        yield value
        return
    if not isinstance(value, list) or len(value) != shape[0]:
        raise Refusal("INVALID_ARGUMENT", f"lists of {key} are of different sizes")
    for item in value:
        yield from _leaves(item, shape[1:], key)


def _leaf(value: Any, dtype: int) -> Any:
    if dtype == STRING:
        if isinstance(value, dict):
            return base64.b64decode(value["b64"], validate=True)
        return value.encode()
    if isinstance(value, str | dict | list | None):
        raise TypeError
    return value


def _encoded(key: str, value: Any) -> Any:
    """Encodes strings as base64 if the output's name ends in _bytes, and else as text."""
    if isinstance(value, list):
        return [_encoded(key, item) for item in value]
    if isinstance(value, bytes):
        if key.endswith("_bytes"):
            return {"b64": base64.b64encode(value).decode()}
        return value.decode()
    return value
