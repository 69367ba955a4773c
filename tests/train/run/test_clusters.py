"""What docs/clusters.md tells people to run, as far as one machine without Kubernetes can show."""

import copy
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import tensorflow as tf
import yaml

from tests.support import helpers

DOCS = helpers.ROOT / "docs"
FOLDER = DOCS / "deploy" / "training"
PAGE = (DOCS / "clusters.md").read_text(encoding="utf-8")
MANIFEST = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8")))
CONTAINER = MANIFEST[2]["spec"]["template"]["spec"]["containers"][0]
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
# In place of Python: notes TF_CONFIG and the arguments, in a file for each process.
PYTHON = """#!/bin/bash
printf '%s\\n' "$TF_CONFIG" "$@" > "$OUT/$$"
exit "${CODE:-0}"
"""
# In place of Slurm: three tasks, one after the other.
SRUN = """#!/bin/bash
while [[ $1 == -* ]]; do shift; done
for SLURM_PROCID in 0 1 2; do SLURM_PROCID=$SLURM_PROCID "$@" || code=$?; done
exit "${code:-0}"
"""
SCONTROL = """#!/bin/bash
echo "$@" >> "$OUT/scontrol"
[[ $* != "show hostnames gpu[7-9]" ]] || printf '%s\\n' gpu7 gpu8 gpu9
"""
# Parses each list of arguments as the driver does; prints all flags, and what it says of each list.
PARSE = """
import json, sys
from absl import flags
from train.command import chosen, flags as own
own.define()
print(json.dumps(list(own.FLAGS)))
for arguments in json.loads(sys.argv[1]):
    for name in own.FLAGS:
        own.FLAGS[name].unparse()
    try:
        rest = own.FLAGS(["train", *arguments])[1:]
        chosen.recipe()
        print(json.dumps(f"not flags: {rest}" if rest else ""))
    except (flags.Error, ValueError) as error:
        print(json.dumps(str(error) or "wrong"))
"""


@pytest.fixture
def run(tmp_path) -> Any:
    """Runs a script with stand-ins for Python and Slurm; returns its code and what Python saw."""
    (tmp_path / "bin").mkdir()
    for name, text in {"python": PYTHON, "srun": SRUN, "scontrol": SCONTROL}.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)

    def start(*command: str, **environment: str) -> tuple[int, list[list[str]]]:
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        unset = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "TF_CONFIG"))}
        known = {**unset, "PATH": path, "OUT": str(tmp_path)}
        done = subprocess.run(command, env={**known, **environment}, check=False)
        notes = [path.read_text().splitlines() for path in tmp_path.glob("[0-9]*")]
        return done.returncode, sorted(notes)

    return start


def task(monkeypatch: pytest.MonkeyPatch, text: str) -> tuple[list[str], str, int]:
    """What TensorFlow reads in TF_CONFIG: the workers, and the type and index of this one."""
    monkeypatch.setenv("TF_CONFIG", text)
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    spec = resolver.cluster_spec().as_dict()
    assert set(spec) == {"worker"}
    return spec["worker"], resolver.task_type, resolver.task_id


def broken_rules(documents: list[dict[str, Any]]) -> list[str]:
    """What the API server, or the run, would refuse though the schemas allow it."""
    service, claim, job = documents
    spec = job["spec"]
    pod = job["spec"]["template"]["spec"]
    name = job["metadata"]["name"]
    (worker,) = pod["containers"]
    port = service["spec"]["ports"][0]["port"]
    disk = claim["metadata"]["name"]
    codes = [rule["onExitCodes"] for rule in spec["podFailurePolicy"]["rules"][1:]]
    text = " ".join(worker["command"] + worker["args"])
    mounted = {mount["name"] for mount in worker["volumeMounts"]}
    rules = {
        "indexed": spec["completionMode"] == "Indexed",
        "never restarted in place": pod["restartPolicy"] == "Never",
        "never twice": spec["podReplacementPolicy"] == "Failed",
        "all at once": spec["parallelism"] == spec["completions"],
        "as many as TF_CONFIG lists": worker["env"][0]["value"] == str(spec["completions"]),
        "retried": codes == [{**codes[0], "operator": "In", "values": [75, 143]}],
        "of this container": codes[0]["containerName"] == worker["name"],
        "worker 0 decides": spec["successPolicy"] == {"rules": [{"succeededIndexes": "0"}]},
        "headless": service["spec"]["clusterIP"] == "None",
        "found early": service["spec"]["publishNotReadyAddresses"] is True,
        "selected": service["spec"]["selector"] == {"batch.kubernetes.io/job-name": name},
        "named": pod["subdomain"] == service["metadata"]["name"],
        "addressed": f'{name}-$i.{service["metadata"]["name"]}:{port}\\"' in text,
        "listening": worker["ports"][0]["containerPort"] == port,
        "stored": pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == disk,
        "shared": claim["spec"]["accessModes"] == ["ReadWriteMany"],
        "mounted": {volume["name"] for volume in pod["volumes"]} == mounted,
        "nothing that Kubernetes expands": not re.search(r"\$[$(]", text),
    }
    return [rule for rule, holds in rules.items() if not holds]


@pytest.mark.parametrize("version", ["1.33", kubernetes_validate.latest_version()])
def test_the_manifest_is_valid(version):
    for document in MANIFEST:
        kubernetes_validate.validate(document, version, strict=True)
    assert broken_rules(MANIFEST) == []


POD = (2, "spec", "template", "spec")
WORKER = (*POD, "containers", 0)
POLICY = (2, "spec", "podFailurePolicy", "rules", 1)
BROKEN = [
    ("schema", (0, "spec", "clusterIp"), "None"),
    ("schema", (2, "spec", "completionmode"), "Indexed"),
    ("schema", (2, "spec", "backoffLimit"), "six"),
    ("schema", POLICY, {"onExitCodes": {}}),
    ("schema", (*POLICY, "onExitCodes", "values"), ["75"]),
    ("schema", (*POD, "terminationGracePeriod"), 300),
    ("schema", (*WORKER, "volumeMounts", 0), {"name": "shared"}),
    ("schema", (*WORKER, "env", 0, "value"), 2),
    ("schema", (1, "spec", "accessModes"), "ReadWriteMany"),
    ("rule", (0, "spec", "publishNotReadyAddresses"), False),
    ("rule", (0, "spec", "ports", 0, "port"), 2222),
    ("rule", (2, "metadata", "name"), "resnet"),
    ("rule", (2, "spec", "completionMode"), "indexed"),
    ("rule", (2, "spec", "parallelism"), 1),
    ("rule", (*POLICY, "onExitCodes", "values"), [143, 75]),
    ("rule", (*POLICY, "onExitCodes", "containerName"), "trainer"),
    ("rule", (*POD, "restartPolicy"), "OnFailure"),
    ("rule", (*POD, "subdomain"), "workers"),
    ("rule", (*WORKER, "env", 0, "value"), "3"),
    ("rule", (*WORKER, "command", 3), "$(WORKERS)"),
]


@pytest.mark.parametrize(("finder", "place", "value"), BROKEN, ids=lambda x: str(x)[-40:])
def test_a_broken_manifest_is_found(finder, place, value):
    documents = part = copy.deepcopy(MANIFEST)
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    refused = finder == "schema"
    with pytest.raises(kubernetes_validate.ValidationError) if refused else nullcontext():
        kubernetes_validate.validate(documents[place[0]], "1.33", strict=True)
    assert refused or broken_rules(documents)


def test_a_pod_knows_its_cluster(run, monkeypatch):
    for index in ("0", "1"):
        command = CONTAINER["command"] + CONTAINER["args"]
        code, notes = run(*command, JOB_COMPLETION_INDEX=index, CODE="75", WORKERS="2")
        assert code == 75  # the policy sees the code of Python
    expected = [f"keras-resnet-{i}.keras-resnet:12345" for i in (0, 1)]
    found = [task(monkeypatch, config) for config, *_ in notes]
    assert found == [(expected, "worker", 0), (expected, "worker", 1)]
    for _, *arguments in notes:
        assert arguments == ["-m", "train", "--strategy=multi_worker", *CONTAINER["args"]]


SLURM = {"SLURM_JOB_ID": "1234567", "SLURM_JOB_NODELIST": "gpu[7-9]"}


def test_a_slurm_task_knows_its_cluster(run, monkeypatch, tmp_path):
    code, notes = run("bash", str(FOLDER / "slurm.sh"), "--workdir=a b", **SLURM)
    expected = [f"gpu{i}:24567" for i in (7, 8, 9)]
    found = [task(monkeypatch, config) for config, *_ in notes]
    assert (code, found) == (0, [(expected, "worker", i) for i in range(3)])
    assert notes[0][1:] == ["-m", "train", "--strategy=multi_worker", "--workdir=a b"]
    assert (tmp_path / "scontrol").read_text() == "show hostnames gpu[7-9]\n"


@pytest.mark.parametrize(
    ("code", "restarts", "again"),
    [(0, 0, False), (1, 0, False), (75, 0, True), (143, 19, True), (137, 3, True), (75, 20, False)],
)
def test_slurm_starts_again_what_may_succeed(run, tmp_path, code, restarts, again):
    environment = {**SLURM, "SLURM_RESTART_COUNT": str(restarts), "CODE": str(code)}
    assert run("bash", str(FOLDER / "slurm.sh"), **environment)[0] == code
    assert ("requeue 1234567" in (tmp_path / "scontrol").read_text()) == again


def test_the_example_for_one_machine(run, monkeypatch):
    code, notes = run("bash", "-euc", BLOCKS[0])
    expected = ["localhost:12345", "localhost:12346"]
    found = [task(monkeypatch, config) for config, *_ in notes]
    assert (code, found) == (0, [(expected, "worker", 0), (expected, "worker", 1)])
    assert notes[0][1:] == notes[1][1:]


def test_shellcheck_has_nothing_to_say(tmp_path):
    scripts = {f"block{i}.sh": f"#!/bin/bash\n{block}" for i, block in enumerate(BLOCKS)}
    scripts["pod.sh"] = f"#!/bin/bash\n{CONTAINER['command'][2]}"
    for name, text in scripts.items():
        (tmp_path / name).write_text(text)
    files = [*FOLDER.glob("*.sh"), *tmp_path.glob("*.sh")]
    assert len(files) > 5
    for file in files:
        subprocess.run(["bash", "-n", file], check=True)
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_driver_knows_every_flag():
    text = PAGE.replace("\\\n", " ")
    commands = re.findall(r"(?:python -m train|slurm\.sh) (--.*)", text)
    assert len(commands) == 3
    cases = [shlex.split(command) for command in commands]
    cases += [CONTAINER["args"], ["--strategy=multi_worker", "--workdir=x"]]
    wrong = [["--workdir=x", "--strategy=many"], ["--workdir=x", "--speed=1"]]
    done = helpers.python("-c", PARSE, json.dumps(cases + wrong))
    assert done.returncode == 0, done.stderr
    known, *said = [json.loads(line) for line in done.stdout.splitlines()]
    assert said[: len(cases)] == [""] * len(cases)
    assert all(said[len(cases) :])
    assert set(re.findall(r"`--(\w+)[`=]", PAGE)) <= set(known)


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert {DOCS / link for link in links} == set(FOLDER.iterdir())


def test_the_image_has_what_it_needs():
    lines = (FOLDER / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert {"setup.py", "keras_resnet", "train"} <= set(copied)
    assert all((helpers.ROOT / name).exists() for name in copied)
    (extras,) = re.findall(r"\.\[(.*?)\]", " ".join(lines))
    known = importlib.metadata.metadata("he-keras-resnet").get_all("Provides-Extra")
    assert set(extras.split(",")) <= set(known)
