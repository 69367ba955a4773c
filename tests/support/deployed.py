"""The files that deploy TensorFlow Serving, and the rules that hold between them.

Messages are those of the packages that define them; flags are those that the source of TensorFlow
Serving 2.20.0 defines, as far as anybody here has a use for them.
"""

import re
from pathlib import Path
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from ovmsclient.tfs_compat.protos.tensorflow_serving.config import monitoring_config_pb2

from saved_models.serving.client import protos
from tests.support import helpers

FOLDER = helpers.ROOT / "docs" / "deploy" / "serving"
CONFIGS = ("models.config", "batching.config", "monitoring.config")
FLAGS = {
    "port",
    "rest_api_port",
    "rest_api_num_threads",
    "grpc_max_threads",
    "enable_profiler",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "file_system_poll_wait_seconds",
    "allow_version_labels_for_unavailable_models",
    "enable_model_warmup",
    "enable_batching",
    "enable_per_model_batching_parameters",
    "batching_parameters_file",
    "monitoring_config_file",
    "tensorflow_intra_op_parallelism",
    "tensorflow_inter_op_parallelism",
}
# No package has this message; names and types as in TensorFlow Serving's own definition.
BATCHING = {
    "max_batch_size": "Int64Value",
    "batch_timeout_micros": "Int64Value",
    "max_enqueued_batches": "Int64Value",
    "num_batch_threads": "Int64Value",
    "thread_pool_name": "StringValue",
    "enable_large_batch_splitting": "BoolValue",
    "max_execution_batch_size": "Int64Value",
}


def batching_parameters() -> Any:
    """An empty message that has these fields."""
    file = descriptor_pb2.FileDescriptorProto(name="batching.proto", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    message = file.message_type.add(name="BatchingParameters")
    for number, (name, kind) in enumerate(BATCHING.items(), 1):
        field = message.field.add(name=name, number=number, label=1, type=11)
        field.type_name = f".google.protobuf.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("BatchingParameters"))()


def parsed(name: str, text: str) -> Any:
    config = protos.load("tensorflow_serving.config.model_server_config_pb2")
    message = {
        "models.config": config.ModelServerConfig,
        "batching.config": batching_parameters,
        "monitoring.config": monitoring_config_pb2.MonitoringConfig,
    }[name]()
    return text_format.Parse(text, message)


def read(name: str) -> Any:
    return parsed(name, (FOLDER / name).read_text(encoding="utf-8"))


def given(arguments: list[str]) -> dict[str, str]:
    pairs = [argument.removeprefix("--").split("=") for argument in arguments]
    assert all(len(pair) == 2 for pair in pairs)
    return dict(pairs)


class Deployed:
    """What the rules are about: both descriptions of one server, taken apart."""

    def __init__(self, compose: dict[str, Any], documents: list[dict[str, Any]]) -> None:
        (self.service,) = compose["services"].values()
        self.kinds = {document["kind"]: document for document in reversed(documents)}
        self.services = [d["spec"] for d in documents if d["kind"] == "Service"]
        self.template = self.kinds["Deployment"]["spec"]["template"]
        self.pod = self.template["spec"]
        (self.container,) = self.pod["containers"]
        self.local, self.cluster = given(self.service["command"]), given(self.container["args"])
        (self.model,) = read("models.config").model_config_list.config
        self.mounts = {mount["name"]: mount for mount in self.container["volumeMounts"]}
        self.volumes = {volume["name"]: volume for volume in self.pod["volumes"]}
        self.places = {volume["target"]: volume for volume in self.service["volumes"]}

    def name(self, kind: str) -> str:
        return self.kinds[kind]["metadata"]["name"]

    def broken(self) -> list[str]:
        rules = {**self._served(), **self._placed(), **self._reached(), **self._secured()}
        return [rule for rule, holds in rules.items() if not holds]

    def _served(self) -> dict[str, bool]:
        flags = [self.local, self.cluster]
        files = {value for some in flags for value in some.values() if "/" in value}
        cores = [str(self.service["cpus"]), self.container["resources"]["limits"]["cpu"]]
        image, command = self.service["image"], self.container["command"]
        texts = {name: (FOLDER / name).read_text(encoding="utf-8") for name in CONFIGS}
        counted = ("tensorflow_intra_op_parallelism", "tensorflow_inter_op_parallelism")
        alike = [{k: v for k, v in some.items() if k not in counted} for some in flags]
        return {
            "known": set(self.local) | set(self.cluster) <= set(FLAGS),
            "alike": alike[0] == alike[1],
            "threads": all(
                some[name] == core
                for name in counted
                for some, core in zip(flags, cores, strict=True)
            ),
            "a version": re.fullmatch(r"tensorflow/serving:[0-9]+[.][0-9]+[.][0-9]+", image)
            is not None,
            "one version": image == self.container["image"],
            "no script": command == self.service["entrypoint"] == ["tensorflow_model_server"],
            "files": files == {f"/config/{name}" for name in CONFIGS},
            "the same files": self.kinds["ConfigMap"]["data"] == texts,
        }

    def _placed(self) -> dict[str, bool]:
        config, models = (
            (FOLDER / self.places[p]["source"]).resolve() for p in ("/config", "/models")
        )
        claim = self.volumes["models"]["persistentVolumeClaim"]["claimName"]
        inside = {mount["mountPath"] for mount in self.mounts.values()}
        return {
            "models": str(Path(self.model.base_path).parent) == self.mounts["models"]["mountPath"],
            "config": self.mounts["config"]["mountPath"] == "/config",
            "folders": inside == {*self.places, *self.service["tmpfs"]},
            "their places": (models, config) == (helpers.ROOT / "saved_models", FOLDER),
            "mounted": set(self.mounts) == set(self.volumes),
            "renewed": not any("subPath" in mount for mount in self.mounts.values()),
            "configured": self.volumes["config"]["configMap"]["name"] == self.name("ConfigMap"),
            "stored": claim == self.name("PersistentVolumeClaim"),
        }

    def _reached(self) -> dict[str, bool]:
        path = f"/v1/models/{self.model.name}/labels/stable/metadata"
        ports = {self.local["port"], self.local["rest_api_port"]}
        label = self.kinds["Deployment"]["spec"]["selector"]["matchLabels"]
        chosen = [service["selector"] for service in self.services]
        chosen += [self.kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]]
        scaled = self.kinds["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"]
        scraped = self.template["metadata"]["annotations"]
        grace = self.container["lifecycle"]["preStop"]["sleep"]["seconds"]
        return {
            "opened": {str(p["containerPort"]) for p in self.container["ports"]} == ports,
            "ports": {str(p["port"]) for p in self.services[0]["ports"]} == ports,
            "published": {p.split(":")[-1] for p in self.service["ports"]} == ports,
            "probed": self.container["readinessProbe"]["httpGet"]["path"] == path,
            "healthy": f"GET {path} HTTP/1.0" in self.service["healthcheck"]["test"][-1],
            "selected": all(one == self.template["metadata"]["labels"] for one in [label, *chosen]),
            "scaled": scaled == self.name("Deployment"),
            "by one": "replicas" not in self.kinds["Deployment"]["spec"],
            "scraped": scraped["prometheus.io/path"] == read(CONFIGS[2]).prometheus_config.path
            and scraped["prometheus.io/port"] == self.cluster["rest_api_port"],
            "time to end": grace < self.pod["terminationGracePeriodSeconds"],
        }

    def _secured(self) -> dict[str, bool]:
        own, shared = self.container["securityContext"], self.pod["securityContext"]
        written = [name for name, mount in self.mounts.items() if not mount.get("readOnly")]
        return {
            "read only": own["readOnlyRootFilesystem"] and self.service["read_only"],
            "models are only read": written == ["tmp"],
            "here too": all(place["read_only"] for place in self.places.values()),
            "not root": shared["runAsNonRoot"] and shared["runAsUser"] > 0,
            "the same user": self.service["user"]
            == f"{shared['runAsUser']}:{shared['runAsGroup']}",
            "no rights": own["capabilities"]["drop"] == self.service["cap_drop"] == ["ALL"],
            "no more": not own["allowPrivilegeEscalation"],
            "this machine alone": all(p.startswith("127.0.0.1:") for p in self.service["ports"]),
            "hears SIGTERM": self.service["init"] is True,
            "memory": "mem_limit" in self.service
            and "memory" in self.container["resources"]["limits"],
        }
