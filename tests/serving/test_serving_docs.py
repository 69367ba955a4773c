"""The commands of docs/serving.md, as far as the stand-in for TensorFlow Serving can run them."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import tensorflow as tf
import yaml

from saved_models.serving.client import command as client, flags
from saved_models.serving.servers import triton as triton_server
from tests.support import deployed, helpers, served

PAGE = (helpers.ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [text.replace("\\\n", " ") for kind, text in BLOCKS if kind == "bash"]
CONFIG = (deployed.FOLDER / "models.config").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((deployed.FOLDER / "docker-compose.yaml").read_text(encoding="utf-8"))


class Served(NamedTuple):
    folder: Path  # with an image of the name that the page has
    port: str


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Served]:
    """A stub by the shipped `models.config`."""
    folder = tmp_path_factory.mktemp("serving")
    served.tiny(folder / "resnet" / "1")
    image = tf.io.encode_png(helpers.noise(1, 40, 50, 3)[0]).numpy()
    (folder / "photo.png").write_bytes(image)
    (folder / "models.config").write_text(CONFIG.replace("/models/", f"{folder}/"))
    with served.stub(folder / "models.config") as addresses:
        yield Served(folder, addresses["rest"].rpartition(":")[2])


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    arguments = ["bash", "-euc", command]
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)


def test_the_calls_are_answered(server):
    calls = [text for text in COMMANDS if "curl" in text and "8501" in text]
    shown = [json.loads(text) for kind, text in BLOCKS if kind == "json"]
    assert len(calls) == len(shown) == 2
    answers = []
    for call in calls:
        done = run(call.replace("localhost:8501", f"127.0.0.1:{server.port}"), server.folder)
        assert done.returncode == 0, done.stderr
        answers.append(json.loads(done.stdout))
    (row,) = answers[0]["predictions"]
    assert row.keys() == shown[0]["predictions"][0].keys()
    assert [len(column) for column in row.values()] == [5, 5, 5]
    assert answers[1] == shown[1]


def test_the_stand_in_starts_and_answers(server, tmp_path, capsys):
    (tmp_path / "saved_models").mkdir()
    (tmp_path / "saved_models" / "resnet").symlink_to(server.folder / "resnet")
    (command,) = [text for text in COMMANDS if "servers.stub" in text]
    command = command.replace("python -m", f"{helpers.sys.executable} -m")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = {**os.environ, "PYTHONPATH": str(helpers.ROOT)}
    with subprocess.Popen(
        ["bash", "-euc", command], cwd=tmp_path, env=environment, **pipes
    ) as process:
        addresses = json.loads(process.stdout.readline())
        image = str(server.folder / "photo.png")
        for address in (addresses["grpc"], addresses["rest"]):
            assert client.main([f"--server={address}", "--model=resnet", image]) == 0
        process.communicate()
    assert process.returncode == 0
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first)["labels"] == json.loads(second)["labels"]


def test_the_health_check_sees_a_version_that_can_answer(server):
    bash, flag, script = COMPOSE["services"]["serving"]["healthcheck"]["test"][1:]
    assert (bash, flag) == ("bash", "-c")
    script = script.replace("$$", "$")  # a $ of Compose

    def healthy(old: str, new: str) -> bool:
        asked = script.replace("8501", server.port).replace(old, new)
        return run(asked, server.folder).returncode == 0

    assert healthy("stable", "canary")
    assert not healthy("stable", "newest")
    assert not healthy("resnet", "other")
    assert not healthy(server.port, "9")


def edited(text: str, edit: str) -> str:
    name = edit.partition("versions:")[1] or edit.rpartition(" ")[0]
    text, count = re.subn(rf"{re.escape(name)} (\d+|\[.*?\])", edit, text)
    assert count == 1, edit
    return text


def state(text: str) -> tuple[list[int], int, int]:
    (model,) = deployed.parsed("models.config", text).model_config_list.config
    loaded = list(model.model_version_policy.specific.versions)
    return loaded, model.version_labels["stable"], model.version_labels["canary"]


def test_each_step_to_a_new_version_is_a_config():
    edits = dict(re.findall(r"^\| (?:\d\. )?(\w+) \| `(.*?)` \|", PAGE, re.MULTILINE))
    load = edited(CONFIG, edits["load"])
    attempt = edited(load, edits["try"])
    release = edited(attempt, edits["release"])
    back, unload = (edited(release, edits[name]) for name in ("back", "unload"))
    found = [state(text) for text in (CONFIG, load, attempt, release, back, unload)]
    both = [1, 2]
    assert found == [
        ([1], 1, 1),
        (both, 1, 1),
        (both, 1, 2),
        (both, 2, 2),
        (both, 1, 2),
        ([2], 2, 2),
    ]


def test_the_programs_know_their_flags(tmp_path, monkeypatch):
    lines = [line.partition("  #")[0] for text in COMMANDS for line in text.splitlines()]
    (asked,) = [shlex.split(line) for line in lines if "serving.client" in line]
    assert flags.parse(client.__doc__, asked[3:]).server == "localhost:8500"
    (tmp_path / "saved_models" / "resnet" / "1").mkdir(parents=True)
    for name in ("saved_model.pb", "model.json"):
        (tmp_path / "saved_models" / "resnet" / "1" / name).touch()
    monkeypatch.chdir(tmp_path)
    (started,) = [shlex.split(line) for line in lines if "servers.triton" in line]
    assert triton_server.parse(started[3:]).http_port == 8000
    own = {"server", "status", "help", "version_label", "address", "batch_size", "timeout"}
    told = set(re.findall(r"`--(\w+)", PAGE))
    assert own < told <= own | deployed.FLAGS


def test_files_and_links_are_there():
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert len(links) > 5
    for link in links:
        assert (helpers.ROOT / "docs" / link).exists(), link
    named = {word for text in COMMANDS for word in re.findall(r"docs/deploy/\S+", text)}
    assert all((helpers.ROOT / name).exists() for name in named)
    assert COMPOSE["services"]["serving"]["image"] in COMMANDS[0]


def test_shellcheck_has_nothing_to_say(tmp_path):
    for i, text in enumerate(COMMANDS):
        (tmp_path / f"{i}.sh").write_text(f"#!/bin/bash\n{text}")
    shellcheck = Path(helpers.sys.executable).with_name("shellcheck")
    done = run(f"{shellcheck} *.sh", tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
