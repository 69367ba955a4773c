"""Measures weights of others as the paper measures its networks on CIFAR-10.

`python -m train.lab.others --weights_dir=… --data_dir=…` writes `results/others.json` and its
figure. What is measured once is kept in the workdir; the same command goes on.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from keras_resnet import console
from keras_resnet.models import from_weights
from train.lab import figures, measuring, tables
from train.lab.planned import pair_flags, shown
from train.run import files

FLAGS = flags.FLAGS
DATASET = "cifar10"
FILE = "others.json"


class Network(NamedTuple):
    """A network that others trained.

    Attributes:
        name: in tables and pictures.
        source: that `keras_resnet.weights` recognizes.
        file: below the directory of weights, as its author names it.
        published: its test error in percent, by its author.
        fields: of the network, which the file does not say.
    """

    name: str
    source: str
    file: str
    published: float
    fields: Mapping[str, Any] = {}

    @property
    def key(self) -> str:
        return f"{self.source}_{self.name}"

    def command(self, weights_dir: str, split: str, data_dir: str | None) -> list[str]:
        """Returns the module and the flags that measure it."""
        data = [f"--data_dir={data_dir}"] if data_dir else []
        own = [f"--weights={weights_dir}/{self.file}", *pair_flags("field", self.fields)]
        return ["-m", "train.evaluate", *own, f"--dataset={DATASET}", *data, f"--split={split}"]


PLAIN: Mapping[str, Any] = {"shortcut": None}
ZEROS: Mapping[str, Any] = {"shortcut": "A"}
NETWORKS = (
    Network("plain-20", "a_martyn", "a-martyn/plainnet20.pt", 9.69, PLAIN),
    Network("plain-56", "a_martyn", "a-martyn/plainnet56.pt", 13.07, PLAIN),
    Network("ResNet-20", "a_martyn", "a-martyn/resnet20.pt", 8.02, ZEROS),
    Network("ResNet-56", "a_martyn", "a-martyn/resnet56.pt", 7.45, ZEROS),
    Network("ResNet-20", "akamaster", "akamaster/resnet20-12fca82f.th", 8.27),
    Network("ResNet-56", "akamaster", "akamaster/resnet56-4bfd9763.th", 6.61),
    Network("ResNet-20-B", "robinc94", "robinc94/resnet20_keras_folded.npz", 9.12),
    Network("ResNet-8-B", "mlcommons_tiny", "mlcommons-tiny/pretrainedResnet.h5", 12.79),
)


def define_flags() -> None:
    flags.DEFINE_string(
        "weights_dir", None, "Holds the files, each in the directory of its project.", required=True
    )
    flags.DEFINE_string(
        "data_dir", None, "Directory of the data set. Default: that of TensorFlow Datasets."
    )
    flags.DEFINE_string("workdir", "runs/others", "Keeps what is measured.")
    flags.DEFINE_string("out", "results", "Directory for others.json and others.png.")


def main() -> None:
    workdir = Path(FLAGS.workdir).expanduser()
    workdir.mkdir(parents=True, exist_ok=True)
    weights_dir = Path(FLAGS.weights_dir).expanduser().absolute()
    data_dir = FLAGS.data_dir and str(Path(FLAGS.data_dir).expanduser().absolute())
    if missing := [one.file for one in NETWORKS if not (weights_dir / one.file).exists()]:
        raise ValueError(f"{weights_dir} has no {', '.join(missing)}")
    failed = [line for one in NETWORKS for line in _measure(one, weights_dir, data_dir, workdir)]
    if failed:
        for line in failed:
            print(line, file=sys.stderr)
        sys.exit(1)
    values = {"rows": [_row(one, workdir) for one in NETWORKS]}
    out = Path(FLAGS.out).expanduser()
    out.mkdir(parents=True, exist_ok=True)
    figures.draw_others(values["rows"], out / "others.png")
    files.write(out / FILE, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    for line in table(values):
        console.say(line)


def _measure(one: Network, weights_dir: Path, data_dir: str | None, workdir: Path) -> list[str]:
    """Measures what is not measured yet; returns a line for each measurement that failed."""
    failed = []
    for split in ("test", "train"):
        path = workdir / f"{one.key}_{split}.json"
        if not path.exists():
            command = one.command(str(weights_dir), split, data_dir)
            told = shown(one.command("…", split, data_dir and "…"))
            failed += measuring.evaluate(f"{one.key} on {split}", command, told, path)
    path = workdir / f"{one.key}_responses.json"
    if not path.exists():
        files.write(path, json.dumps(_responses(one, weights_dir, data_dir)) + "\n")
    return failed


def _responses(one: Network, weights_dir: Path, data_dir: str | None) -> dict[str, float]:
    """Returns responses by layer; none of a network whose file lacks the mean image."""
    console.say(f"{one.key}: measures its responses")
    model = from_weights(weights_dir / one.file, **one.fields)
    assert model.preprocessing  # of all of these sources
    if model.preprocessing.mean is None:
        return {}
    return measuring.responses(model, DATASET, data_dir)


def _row(one: Network, workdir: Path) -> dict[str, Any]:
    """Returns what is known of a network; errors are in percent."""
    kept = {
        part: json.loads((workdir / f"{one.key}_{part}.json").read_text(encoding="utf-8"))
        for part in ("test", "train", "responses")
    }
    return {
        "network": one.name,
        "source": one.source,
        "published": one.published,
        "test": round(100 - kept["test"]["top1"], 4),
        "train": round(100 - kept["train"]["top1"], 4),
        "responses": kept["responses"],
        "command": kept["test"]["command"],
    }


def table(values: tables.Summary) -> list[str]:
    """Returns the lines of a table for people."""
    titles = (
        *("source", "network", "published test error (%)", "test error (%)"),
        *("training error (%)", "mean layer response", "command"),
    )
    found = [
        (
            *(row["source"], row["network"], f"{row['published']:.2f}", f"{row['test']:.2f}"),
            *(f"{row['train']:.2f}", _mean(row["responses"])),
            f"`{row['command']}`",
        )
        for row in values["rows"]
    ]
    return tables.rows(titles, found)


def _mean(responses: Mapping[str, float]) -> str:
    return f"{np.mean(list(responses.values())):.3f}" if responses else ""


if __name__ == "__main__":
    define_flags()
    console.run(main)
