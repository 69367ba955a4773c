"""The client's command line: what it prints, and its exit codes."""

import json
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from saved_models.serving.client import command, transport
from tests.support.scripted import Script, both, images, run, serving


@pytest.fixture
def served() -> Iterator[Any]:
    with serving() as serve:
        yield serve


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST_DELAY", 0.02)


@both
def test_a_server_that_is_gone_ends_the_run(served, tmp_path, way, capsys):
    script = Script([None, *["UNAVAILABLE"] * 1000])
    images(tmp_path, 100)
    arguments = ("--retries=1", "--batch_size=2", "--concurrency=1", str(tmp_path))
    assert run(served(script, way), *arguments) == 2
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 6  # answered, and told before it was given up
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert "as it was told" in printed.err
    assert len(script.sizes) < 12


@pytest.mark.parametrize(
    ("way", "code"),
    [(way, code) for way in ("grpc", "rest") for code in ("NOT_FOUND", "UNIMPLEMENTED")]
    + [("grpc", "FAILED_PRECONDITION")],  # by REST the status is that of a bad image
)
def test_what_no_image_can_mend_ends_the_run_at_once(served, tmp_path, capsys, way, code):
    script = Script([code] * 100)
    images(tmp_path, 50)
    assert run(served(script, way), "--concurrency=1", "--batch_size=1", str(tmp_path)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.endswith("as it was told\n")
    assert len(script.sizes) <= 3


@both
def test_status_and_its_exit_code(served, capsys, way):
    assert run(served(Script(), way), "--status") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    status = {"state": "AVAILABLE", "status": "OK"}
    assert rows == [{"version": 3, **status}, {"version": 2, **status, "state": "END"}]
    assert run(served(Script(state="LOADING"), way), "--status") == 1


@both
def test_no_image_is_sent_where_no_version_can_answer(served, tmp_path, capsys, way):
    script = Script(state="LOADING")
    images(tmp_path, 3)
    assert run(served(script, way), str(tmp_path)) == 2
    assert "model model has no version to answer: 3 LOADING, 2 END" in capsys.readouterr().err
    assert script.sizes == []


@both
def test_an_unknown_model_is_one_line(served, tmp_path, capsys, way):
    script = Script()
    images(tmp_path, 3)
    assert run(served(script, way), str(tmp_path), model="a model/x?") == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert script.sizes == []


@both
def test_folders_are_walked_and_files_are_not_chosen(served, tmp_path, capsys, way):
    folder = tmp_path / "images"
    for i, name in enumerate(["b.jpg", "a.PNG", "c.webp", "d.jpeg", "sub/a.jpg", "a/z.jpg"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(str(i))
    (folder / "labels.txt").write_text("no image")
    other = tmp_path / "no suffix"
    other.write_text("9")
    missing = tmp_path / "absent.jpg"
    os.mkfifo(tmp_path / "pipe.jpg")
    web = "http://127.0.0.1:1/a.jpg"
    paths = (str(other), str(folder), str(missing), str(tmp_path / "pipe.jpg"), web)
    assert run(served(Script(), way), *paths) == 1
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    names = ["a.PNG", "b.jpg", "c.webp", "d.jpeg", "a/z.jpg", "sub/a.jpg"]
    assert [row["file"] for row in rows[:7]] == [str(other), *(str(folder / n) for n in names)]
    assert [row["classes"][0] for row in rows[:7]] == [9, 1, 0, 2, 3, 5, 4]
    assert [row["error"] for row in rows[7:]] == [
        "no such file",
        "not a regular file",
        "no such file",
    ]
    assert printed.err == "error: 3 of 10 images have no answer\n"


def test_a_folder_without_images_is_no_success(served, tmp_path, capsys):
    assert run(served(Script(), "rest"), str(tmp_path)) == 1
    assert capsys.readouterr().err == "error: no images found\n"


WRONG = {
    "no server": ("--model=a x.jpg", "the following arguments are required: --server"),
    "no model": ("--server=a:1 x.jpg", "the following arguments are required: --model"),
    "no port": ("--server=localhost --model=a x.jpg", "--server must be HOST:PORT or http://"),
    "no number as port": ("--server=a:b --model=a x.jpg", "--server must be HOST:PORT or http://"),
    "another scheme": ("--server=ftp://a:1 --model=a x.jpg", "got 'ftp://a:1'"),
    "a path for gRPC": ("--server=a:1/b --model=a x.jpg", "got 'a:1/b'"),
    "no images": ("--server=a:1 --model=a", "give images or folders of images, or else --status"),
    "images and status": ("--server=a:1 --model=a --status x.jpg", "or else --status"),
    "an unknown flag": ("--server=a:1 --model=a --batchsize=3 x.jpg", "--batchsize=3"),
    "part of a flag": ("--server=a:1 --model=a --stat", "--stat"),
    "no size": ("--server=a:1 --model=a --batch_size=0 x.jpg", "--batch_size: invalid number"),
    "no time": ("--server=a:1 --model=a --timeout=nan x.jpg", "--timeout: invalid number"),
    "both versions": ("--server=a:1 --model=a --version=1 --version_label=b x.jpg", "not allowed"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_called_wrongly_is_one_line(case, capsys):
    arguments, told = WRONG[case]
    try:
        code = command.main(arguments.split())
    except SystemExit as end:
        code = end.code
    printed = capsys.readouterr()
    assert code == 2
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert told in printed.err


@pytest.mark.parametrize("address", ["127.0.0.1:1", "http://127.0.0.1:1"])
def test_a_server_that_is_not_there_is_one_line(address, tmp_path, capsys):
    images(tmp_path, 1)
    assert run(address, "--retries=1", str(tmp_path)) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: UNAVAILABLE: ")
    assert printed.err.count("\n") == 1
    assert "refused" in printed.err


@pytest.mark.parametrize(
    ("way", "told"),
    [("rest", "the server does not speak gRPC"), ("grpc", "the server does not speak HTTP")],
)
def test_the_other_port_is_named(served, tmp_path, capsys, way, told):
    images(tmp_path, 1)
    place = served(Script(), way).removeprefix("http://")
    assert run(place if way == "rest" else f"http://{place}", str(tmp_path)) == 2
    assert told in capsys.readouterr().err


class Other(BaseHTTPRequestHandler):
    """Some other server: a page, a list, a way elsewhere, or an answer to another question."""

    body, code = b"<html>hello</html>", 200

    def do_GET(self) -> None:
        status = {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}
        self._respond(json.dumps(status).encode(), 200)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._respond(self.body, self.code)

    def _respond(self, body: bytes, code: int) -> None:
        self.send_response(code)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        (
            b"<html>hello</html>",
            200,
            "the answer is not TensorFlow Serving's: '<html>hello</html>'",
        ),
        (b"[1]", 200, "the answer is not TensorFlow Serving's: '[1]'"),
        (b"{}", 200, "the answer is not TensorFlow Serving's: '{}'"),
        (b'{"predictions": 1}', 200, "the answer is not TensorFlow Serving's"),
        (b'{"predictions": [1]}', 200, "the answer is not TensorFlow Serving's"),
        (b'{"predictions": [{"classes": [1]}]}', 200, "the answer is not TensorFlow Serving's"),
        (b'{"predictions": []}', 200, "1 images were sent, but the answer has"),
        (b"gone", 307, "HTTP 307: gone"),
        (b"", 403, "HTTP 403: Forbidden"),
        (b'{"error": {"a": 1}}', 401, "HTTP 401: {'a': 1}"),
    ],
)
def test_the_answer_of_some_other_server_is_told(tmp_path, capsys, monkeypatch, body, code, told):
    monkeypatch.setattr(Other, "body", body)
    monkeypatch.setattr(Other, "code", code)
    images(tmp_path, 1)
    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        assert run(f"http://127.0.0.1:{server.server_port}", str(tmp_path)) == 2
        server.shutdown()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert told in printed.err


@both
def test_a_folder_that_cannot_be_read_is_told(served, tmp_path, capsys, monkeypatch, way):
    """As root, who runs some tests, may read every folder, the system call fails in its place."""
    images(tmp_path / "a", 2)
    images(tmp_path / "b", 1)
    scan = os.scandir

    def refusing(path: str) -> Any:
        if path.endswith("a"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    address = served(Script(), way)
    monkeypatch.setattr(os, "scandir", refusing)
    assert run(address, str(tmp_path)) == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["file"] == str(tmp_path / "b" / "0000.jpg")
    assert second == {"file": str(tmp_path / "a"), "error": "a folder that cannot be read"}
