"""TensorFlow Serving's REST interface, by `requests`."""

import base64
import threading
from typing import Any
from urllib.parse import quote

import requests

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

# Of the server for RESOURCE_EXHAUSTED, UNAVAILABLE and DEADLINE_EXCEEDED, and of proxies.
TRANSIENT = {429, 503, 504}
REFUSED = {400, 413, 500}


class Rest:
    """The transport to `http://HOST:PORT`, or to a path of a proxy.

    Args:
        url: of the server, without the `/v1` with which every path begins.
        model: which model, and which version of it.
        timeout: seconds to wait for a connection, and for each next part of an answer.
    """

    def __init__(self, url: str, model: Model, timeout: float) -> None:
        path = f"/v1/models/{quote(model.name, safe='')}"
        if model.version is not None:
            path += f"/versions/{model.version}"
        if model.label is not None:
            path += f"/labels/{quote(model.label, safe='')}"
        self._url = url.rstrip("/") + path
        self._timeout = timeout
        self._own = threading.local()  # a session is for one thread, and keeps its connection

    def predict(self, images: list[bytes]) -> list[Answer]:
        encoded = [{INPUT: {"b64": base64.b64encode(image).decode()}} for image in images]
        body = {"signature_name": SIGNATURE, "instances": encoded}
        answer = self._call("POST", f"{self._url}:predict", body)
        try:
            found = answer["predictions"]
            names = outputs(found[0] if found else ())
            columns = {name: [row[name] for row in found] for name in names}
        except (KeyError, TypeError) as error:
            raise _unexpected(answer) from error
        return rows(columns, len(images))

    def status(self) -> list[dict[str, Any]]:
        answer = self._call("GET", self._url)
        try:
            return [
                {
                    "version": int(version["version"]),
                    "state": str(version["state"]),
                    "status": " ".join(filter(None, version.get("status", {}).values())),
                }
                for version in answer["model_version_status"]
            ]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _unexpected(answer) from error

    def close(self) -> None:
        """Does nothing: sessions are closed with their threads."""

    def _call(self, method: str, url: str, body: Any = None) -> dict[str, Any]:
        if not hasattr(self._own, "session"):
            self._own.session = requests.Session()
        try:
            response = self._own.session.request(
                method, url, json=body, timeout=self._timeout, allow_redirects=False
            )
        except requests.RequestException as error:
            raise _lost(error, self._timeout) from error
        return _content(response)


def _lost(error: requests.RequestException, timeout: float) -> Failure:
    if isinstance(error, requests.Timeout):
        return Failure(Kind.TRANSIENT, "DEADLINE_EXCEEDED", f"no answer for {timeout:g} s")
    if "BadStatusLine" in str(error):
        reason = "the server does not speak HTTP; HOST:PORT without http:// speaks gRPC"
        return Failure(Kind.FATAL, "UNEXPECTED", reason)
    cause = error.args[0] if error.args else error
    reason = str(getattr(cause, "reason", cause))  # the inner error of urllib3 is shorter
    broken = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
    if isinstance(error, broken) and not isinstance(error, requests.exceptions.SSLError):
        return Failure(Kind.TRANSIENT, "UNAVAILABLE", reason)
    return Failure(Kind.FATAL, "UNEXPECTED", reason)


def _content(response: requests.Response) -> dict[str, Any]:
    try:
        content = response.json()
    except requests.JSONDecodeError:
        content = None
    code = f"HTTP {response.status_code}"
    if response.status_code != requests.codes.ok:
        message = content.get("error") if isinstance(content, dict) else None
        kind = Kind.FATAL
        if response.status_code in TRANSIENT:
            kind = Kind.TRANSIENT
        elif response.status_code in REFUSED:
            kind = Kind.REFUSED
        raise Failure(kind, code, str(message or response.text or response.reason))
    if not isinstance(content, dict):
        raise _unexpected(response.text)
    return content


def _unexpected(answer: object) -> Failure:
    reason = f"the answer is not TensorFlow Serving's: {str(answer)[:80]!r}"
    return Failure(Kind.FATAL, "UNEXPECTED", reason)
