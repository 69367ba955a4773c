"""What saved_models/serving/ has to deploy TensorFlow Serving, as far as no server can show."""

import copy
from contextlib import nullcontext
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from google.protobuf import text_format

from keras_resnet.export.saved_model import MAX_BATCH
from tests.support.deployed import BATCHING, FOLDER, Deployed, parsed, read

COMPOSE = yaml.safe_load((FOLDER / "docker-compose.yaml").read_text(encoding="utf-8"))
MANIFEST = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("models.config", "base_path", "path"),
        ("models.config", "value: 1", 'value: "1"'),
        ("models.config", "specific { versions: 1 }", "specific: 1"),
        ("batching.config", "max_batch_size { value: 128 }", "max_batch_size: 128"),
        ("batching.config", "num_batch_threads", "batch_threads"),
        ("monitoring.config", "true", "yes"),
    ],
)
def test_a_broken_config_is_found(name, old, new):
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert parsed(name, text)
    with pytest.raises(text_format.ParseError):
        parsed(name, text.replace(old, new))


def test_labels_are_of_versions_that_are_loaded():
    (model,) = read("models.config").model_config_list.config
    assert model.model_platform == "tensorflow"
    assert set(model.version_labels) == {"stable", "canary"}
    assert set(model.version_labels.values()) <= set(model.model_version_policy.specific.versions)


def test_batches_are_as_large_as_an_export_takes():
    batching = read("batching.config")
    assert batching.max_batch_size.value == MAX_BATCH
    assert all(getattr(batching, name).value > 0 for name in BATCHING if batching.HasField(name))


COMPOSE_SCHEMA = jsonschema.Draft202012Validator(get_builtin_schema("vendor.compose-spec"))


def check_schemas(compose: dict[str, Any], documents: list[dict[str, Any]], version: str) -> None:
    COMPOSE_SCHEMA.validate(compose)
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", ["1.33", kubernetes_validate.latest_version()])
def test_the_descriptions_are_valid(version):
    check_schemas(COMPOSE, MANIFEST, version)
    assert Deployed(COMPOSE, MANIFEST).broken() == []


SERVICE = ("services", "serving")
POD = (2, "spec", "template", "spec")
SERVER = (*POD, "containers", 0)
BROKEN = [
    ("schema", (*SERVICE, "comand"), []),
    ("schema", (*SERVICE, "healthcheck", "interval"), 10),
    ("schema", (*SERVICE, "volumes", 0, "readonly"), True),
    ("schema", (*SERVER, "args"), "--port=8500"),
    ("schema", (*SERVER, "readinessProbe", "httpGet"), {"path": "/"}),
    ("schema", (*SERVER, "resources", "limits", "memory"), {"max": 4}),
    ("schema", (*POD, "terminationGraceSeconds"), 20),
    ("schema", (3, "spec", "ports", 0, "port"), "8500"),
    ("schema", (5, "spec", "maxUnavailble"), 1),
    ("schema", (6, "spec", "maxReplicas"), "many"),
    ("alike", (*SERVICE, "command", 2), "--model_config_file=/config/batching.config"),
    ("known", (*SERVICE, "command", 6), "--batching=true"),
    ("a version", (*SERVICE, "image"), "tensorflow/serving:latest"),
    ("one version", (*SERVER, "image"), "tensorflow/serving:2.19.1"),
    ("threads", (*SERVICE, "cpus"), 8),
    ("the same files", (0, "data", "models.config"), "model_config_list {}"),
    ("renewed", (*SERVER, "volumeMounts", 1, "subPath"), "models.config"),
    ("models are only read", (*SERVER, "volumeMounts", 0, "readOnly"), False),
    ("stored", (*POD, "volumes", 0, "persistentVolumeClaim", "claimName"), "models"),
    ("their places", (*SERVICE, "volumes", 0, "source"), "../.."),
    ("probed", (*SERVER, "readinessProbe", "httpGet", "path"), "/v1/models/resnet50"),
    ("ports", (3, "spec", "ports", 1, "port"), 80),
    ("selected", (5, "spec", "selector", "matchLabels", "app"), "resnet"),
    ("scaled", (6, "spec", "scaleTargetRef", "name"), "resnet"),
    ("by one", (2, "spec", "replicas"), 2),
    ("time to end", (*POD, "terminationGracePeriodSeconds"), 5),
    ("not root", (*POD, "securityContext", "runAsUser"), 0),
    ("this machine alone", (*SERVICE, "ports", 0), "8500:8500"),
]


@pytest.mark.parametrize(("finder", "place", "value"), BROKEN, ids=lambda x: str(x)[-40:])
def test_a_broken_description_is_found(finder, place, value):
    compose, documents = copy.deepcopy((COMPOSE, MANIFEST))
    part: Any = compose if place[0] == "services" else documents
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    refused = finder == "schema"
    errors = (jsonschema.ValidationError, kubernetes_validate.ValidationError)
    with pytest.raises(errors) if refused else nullcontext():
        check_schemas(compose, documents, "1.33")
    assert refused or finder in Deployed(compose, documents).broken()
