"""Serves an export with NVIDIA's Triton: `python -m saved_models.serving.servers.triton DIR/1`.

Triton comes with the package `nvidia-pytriton`, and runs the export in its Python backend with
TensorFlow: `pip install nvidia-pytriton tensorflow`. It merges requests into batches. The model has
one input, `image_bytes` BYTES [batch, 1], and the outputs of the signature `predict_bytes`.
"""

import argparse
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path

MODEL = Path(__file__).with_name("triton_model.py")
# A request may have as many images as the export takes; requests wait up to 2 ms to be merged.
CONFIG = """
backend: "python"
max_batch_size: 128
input {{ name: "image_bytes" data_type: TYPE_STRING dims: 1 }}
output {{ name: "classes" data_type: TYPE_INT64 dims: -1 }}
output {{ name: "labels" data_type: TYPE_STRING dims: -1 }}
output {{ name: "{scores}" data_type: TYPE_FP32 dims: -1 }}
dynamic_batching {{ max_queue_delay_microseconds: 2000 }}
instance_group {{ kind: KIND_CPU count: 1 }}
version_policy {{ all {{}} }}
"""


def lay_out(repository: Path, name: str, export: Path) -> None:
    """Writes a model repository of Triton with one version of an export.

    Args:
        repository: a directory.
        name: of the model.
        export: the directory of the export, NAME/VERSION.
    """
    folder = repository / name / export.name
    folder.mkdir(parents=True)
    shutil.copy(MODEL, folder / "model.py")
    (folder / "model.savedmodel").symlink_to(export)
    config = CONFIG.format(scores=scores(export))
    (repository / name / "config.pbtxt").write_text(config, encoding="utf-8")


def scores(export: Path) -> str:
    """Returns the name of the output that ranks classes, according to `model.json`."""
    about = json.loads((export / "model.json").read_text(encoding="utf-8"))
    return "logits" if about.get("activation") == "none" else "probabilities"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Returns the flags; an invalid one ends the process."""
    parser = argparse.ArgumentParser(
        description="Serves an export with NVIDIA's Triton.", allow_abbrev=False
    )
    parser.add_argument("export", type=Path, help="the directory of an export, NAME/VERSION")
    parser.add_argument("--address", default="127.0.0.1", help="0.0.0.0 accepts everybody")
    parser.add_argument("--http_port", type=int, default=8000)
    parser.add_argument("--grpc_port", type=int, default=8001)
    parser.add_argument("--metrics_port", type=int, default=8002, help="for Prometheus")
    chosen = parser.parse_args(arguments)
    chosen.export = chosen.export.resolve()
    # Triton ignores versions that begin with 0.
    version = re.fullmatch("[1-9][0-9]*", chosen.export.name)
    for name in ("saved_model.pb", "model.json"):
        if not version or not (chosen.export / name).is_file():
            parser.error(
                f"{chosen.export} is not NAME/VERSION, from version 1 on, with a {name} in it"
            )
    return chosen


def _stop(*_: object) -> None:
    raise SystemExit(143)


def main() -> None:
    """Serves until the process is stopped."""
    chosen = parse()
    try:
        from pytriton.triton import Triton, TritonConfig
    except ImportError as error:
        sys.exit(f"error: {error}: pip install nvidia-pytriton tensorflow")

    # Triton's Python processes import this package, too.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        path for path in [str(Path.cwd()), *sys.path] if path
    )
    signal.signal(signal.SIGTERM, _stop)
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder, "models")
        lay_out(repository, chosen.export.parent.name, chosen.export)
        config = TritonConfig(
            model_repository=repository,
            http_address=chosen.address,
            http_port=chosen.http_port,
            grpc_address=chosen.address,
            grpc_port=chosen.grpc_port,
            metrics_address=chosen.address,
            metrics_port=chosen.metrics_port,
        )
        with Triton(config=config, workspace=Path(folder, "workspace")) as triton:
            triton.serve()


if __name__ == "__main__":
    main()
