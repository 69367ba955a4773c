"""Fires requests at an export in TensorFlow's C++ SavedModel loader.

    python -m tests.support.firing EXPORT_DIR COUNT [SEED]

Its report is JSON: how many of each kind were answered and refused, what went wrong, and the peak
of memory. The number of a request and the seed bring it back.
"""

import faulthandler
import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from saved_models.serving.servers.stub.loader import Loaded, Refusal
from tests.support import hostile_requests
from tests.support.hostile_requests import CLASSES, Request

THREADS = 4
SHOWN = 20  # problems
SHORTEST = 15  # characters of a reason
LONGEST = 1800  # seconds, after which something hangs, and tells where


def memory(field: str = "VmHWM") -> int:
    """Megabytes of this process: the peak, or now as VmRSS."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if field in x)
    return int(line.split()[1]) // 1024


class Range:
    """Where requests are fired and answers are judged."""

    def __init__(self, export: Path, seed: int) -> None:
        self._loaded, self._seed = Loaded(export), seed
        self._kinds = hostile_requests.kinds()
        weights = np.array([weight for weight, _ in self._kinds.values()], float)
        self._shares = weights / weights.sum()
        self._good = [
            self._run(hostile_requests.good(i)) for i in range(hostile_requests.GOOD)
        ]  # one after the other

    def fire(self, number: int) -> tuple[str, str, str]:
        """Returns the kind of a request, what came of it, and what is wrong with that, if it is."""
        random = np.random.default_rng([self._seed, number])
        kind = list(self._kinds)[random.choice(len(self._shares), p=self._shares)]
        if number < len(self._kinds):
            kind = list(self._kinds)[number]  # however few are fired, there is one of each
        request = self._kinds[kind][1](random)
        try:
            outputs = self._run(request)
        except Refusal as refusal:
            return kind, "refused", self._judge_refusal(request, refusal)
        return kind, "answered", self._judge(request, outputs)

    def _run(self, request: Request) -> dict[str, np.ndarray]:
        return self._loaded.run(request.signature, request.inputs)

    def _judge_refusal(self, request: Request, refusal: Refusal) -> str:
        if request.verdict in {"same", "answer"}:
            return f"refused: {refusal.code}: {refusal.message}"
        if refusal.code != request.code:
            return f"{refusal.code} for {request.code}: {refusal.message}"
        reason = refusal.message.partition("[[{{")[0].strip()
        if request.told not in reason or len(reason) < SHORTEST:
            return f"refused without {request.told!r}: {refusal.message}"
        return ""

    def _judge(self, request: Request, outputs: dict[str, np.ndarray]) -> str:
        if request.verdict == "refuse":
            return "answered, though it is bad"
        if request.verdict == "same":
            right = self._good[request.number]
            same = right.keys() == outputs.keys() and all(
                np.array_equal(outputs[name], right[name]) for name in right
            )
            return "" if same else f"another answer to good request {request.number}"
        if request.signature != "predict_bytes":
            return ""
        count = len(request.inputs["image_bytes"])
        return "" if well_formed(outputs, count) else f"malformed: {outputs}"


def well_formed(outputs: dict[str, np.ndarray], count: int, k: int = 5) -> bool:
    """Whether these are the k best of all classes, best first."""
    classes, labels, probabilities = (outputs[n] for n in ("classes", "labels", "probabilities"))
    shapes = {value.shape for value in outputs.values()}
    named = all(
        label == b"class %d" % i for i, label in zip(classes.flat, labels.flat, strict=True)
    )
    return (
        shapes == {(count, k)}
        and named
        and all(len(set(row)) == k for row in classes.tolist())
        and bool(((classes >= 0) & (classes < CLASSES)).all())
        and bool((np.diff(probabilities) <= 0).all())
        and bool((probabilities >= 0).all() and (probabilities.sum(1) < 1.0001).all())
        and bool((probabilities[:, 0] >= 1 / CLASSES).all())
    )


def main(export: str, count: str, seed: str = "0") -> None:
    faulthandler.dump_traceback_later(LONGEST, exit=True)
    target = Range(Path(export), int(seed))
    report: dict[str, Any] = {"requests": int(count), "base_mb": memory()}
    tallies: dict[str, Counter[str]] = {"answered": Counter(), "refused": Counter()}
    problems = []
    with ThreadPoolExecutor(THREADS) as pool:
        for number, (kind, outcome, problem) in enumerate(pool.map(target.fire, range(int(count)))):
            tallies[outcome][kind] += 1
            if problem:
                problems.append(f"{number} {kind}: {problem}")
    banned = {"tensorflow", "keras", "keras_resnet"}
    report |= tallies
    report["problems"], report["num_problems"] = problems[:SHOWN], len(problems)
    report["peak_mb"], report["end_mb"] = memory(), memory("VmRSS")
    report["imported"] = sorted(banned & {name.partition(".")[0] for name in sys.modules})
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
