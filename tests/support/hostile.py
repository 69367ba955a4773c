"""Opens hostile files in processes of their own, and tells what came of each.

What a file of weights must never do is to kill the process, to take its memory or its time, or to
run something; none of these could be caught by a test in the same process.
"""

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import helpers

SECONDS = 10  # for any file; a good one takes 0.1
MEGABYTES = 200  # more than before; a good file takes 10
ADDRESS_SPACE = 4 << 30  # beyond that of TensorFlow, so that a failing test harms nobody


class Outcome(NamedTuple):
    """What one call did with one file."""

    case: Mapping[str, Any]
    kind: str  # "loaded", the class of the error, or what ended the process
    told: str = ""
    changed: bool = False  # whether the model has other weights than before
    seconds: float = 0.0
    megabytes: float = 0.0

    @property
    def faults(self) -> list[str]:
        """What is wrong with it, whether the file was good or not."""
        if self.kind == "loaded":
            return self._costs()
        faults = [] if self.kind == "ValueError" else [f"{self.kind}, and no ValueError"]
        if self.case["path"] not in self.told:
            faults.append("the file is not named")
        if self.changed:
            faults.append("weights were changed")
        if len(self.told) > 3_000:
            faults.append(f"a message of {len(self.told)} characters")
        return faults + self._costs()

    def _costs(self) -> list[str]:
        slow = [f"{self.seconds:.1f} s"] if self.seconds > SECONDS else []
        return slow + ([f"{self.megabytes:.0f} MB"] if self.megabytes > MEGABYTES else [])

    def __str__(self) -> str:
        return f"{json.dumps(self.case)}: {self.kind}, {self.faults}: {self.told[:300]}"


def case(path: Path, door: str = "load", source: str = "keras_resnet", **other: Any) -> dict:
    """One call: what is called, on which file, and with which of the sample networks."""
    return {"path": str(path), "door": door, "source": source, **other}


def outcomes(folder: Path, cases: Sequence[Mapping[str, Any]]) -> list[Outcome]:
    """Makes the calls one after another; a new process goes on after one that died or grew."""
    plan, results = folder / "plan.json", folder / "results.jsonl"
    plan.write_text(json.dumps(cases))
    done = helpers.module("tests.support.hostile", str(plan), str(results))
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert len(lines) == len(cases)
    return [Outcome(case, **line) for case, line in zip(cases, lines, strict=True)]


def main(plan: str, results: str) -> None:
    from tests.support import samples  # after a fork, which has TensorFlow; none of it has run

    cases = json.loads(Path(plan).read_text())
    with Path(results).open("w", buffering=1) as file:
        done = 0
        while done < len(cases):
            done += _fork(samples, cases[done:], file)


def _fork(samples: Any, cases: Sequence[Mapping[str, Any]], file: Any) -> int:
    """Returns through how many cases a fork went: as many as it could."""
    before = os.fstat(file.fileno()).st_size
    child = os.fork()
    if not child:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        _limit()
        models: dict[str, Any] = {}
        for each in cases:
            result = _attempt(each, samples, models)
            os.write(file.fileno(), json.dumps(result).encode() + b"\n")
            if result["megabytes"] > MEGABYTES / 3:
                break  # its peak would hide that of the next one
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    written = Path(file.name).read_bytes()[before:].count(b"\n")
    file.seek(0, os.SEEK_END)
    if status:
        told = "too slow" if status == -signal.SIGALRM else f"signal or exit status {status}"
        file.write(json.dumps({"kind": told}) + "\n")
        written += 1
    return written


def _limit() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _attempt(case: Mapping[str, Any], samples: Any, models: dict[str, Any]) -> dict[str, Any]:
    import warnings

    warnings.simplefilter("ignore")  # a garbled number may overflow
    if case["door"] == "load" and case["source"] not in models:
        models[case["source"]] = samples.build(case["source"])
    model = models.get(case["source"])
    before = model.get_weights() if model else []
    signal.alarm(SECONDS + 1)
    start, memory = time.perf_counter(), _peak()
    kind, told = "loaded", ""
    try:
        _call(case, model)
    except BaseException as error:
        kind, told = type(error).__name__, str(error)
    seconds, megabytes = time.perf_counter() - start, _peak() - memory
    signal.alarm(0)
    after = model.get_weights() if model else []
    changed = any((x != y).any() for x, y in zip(before, after, strict=True))
    if changed:
        model.set_weights(before)
    return {
        "kind": kind,
        "told": told,
        "changed": changed,
        "seconds": seconds,
        "megabytes": megabytes,
    }


def _call(case: Mapping[str, Any], model: Any) -> None:
    from keras_resnet import resnet, weights
    from keras_resnet.weights.formats.containers import opened

    path, arguments = case["path"], case.get("arguments", {})
    if case["door"] == "arrays":
        with opened(Path(path)) as file:
            for tensor in file.tensors.values():
                tensor.read()
    elif case["door"] == "read":
        weights.read_manifest(path)
    elif case["door"] == "load":
        weights.load(model, path, **arguments)
    elif case["door"] == "resnet":
        resnet(arguments.pop("network"), weights=path, **arguments)
    else:
        resnet.from_weights(path, **arguments)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(*sys.argv[1:])
