"""Shared by all commands: checks before Keras is imported, the run of `main`, and errors.

Keras chooses its backend when it is imported, and a broken installation ends in a traceback. This
module therefore imports nothing else of the package.
"""

import difflib
import errno
import importlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, NoReturn

from absl import app, flags, logging as absl_logging

__all__ = [
    "backend",
    "check",
    "command",
    "fail",
    "import_keras",
    "imports_itself",
    "install",
    "keras_home",
    "last_said",
    "quiet",
    "run",
    "say",
]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors of a log on a full disk
PACKAGE, SCRIPT = "keras_resnet", "keras-resnet"  # as `python -m` and the shell call the command
HELP = {"--help", "-help", "-h", "-?", "--helpshort", "--helpfull"}
MISSING = re.compile(r"Flag --(\w+) must have a value other than None")  # as absl says it
OLDEST = (2, 21)  # TensorFlow; see setup.py
# Optional modules, by the extra of setup.py that installs them.
EXTRAS = {
    "train": ("importlib_resources", "matplotlib", "sklearn", "tensorboard", "tensorflow_datasets"),
    "serving": ("ai_edge_litert", "tensorflow_serving"),
    "onnx": ("onnx", "onnxruntime", "tf2onnx"),
    "openvino": ("openvino",),
    "hub": ("huggingface_hub",),
}
_said = 0.0  # when a line was printed


def command() -> str:
    """Returns the module that `python -m` is about to run; "" without -m, and once it runs.

    While Python locates the module and imports its packages, `sys.argv[0]` is "-m".
    """
    if sys.argv[:1] != ["-m"]:
        return ""
    word = sys.orig_argv[-len(sys.argv)]
    return word.partition("m")[2] if word.startswith("-") else word  # -mtrain is one word


def imports_itself() -> bool:
    """Whether this process is a command that imports what it uses of this package.

    These are the commands of `train`, and `keras-resnet`, also as `python -m keras_resnet`.
    """
    module = command()
    script = Path(sys.argv[0] if sys.argv else "").stem
    return module.partition(".")[0] == "train" or module == PACKAGE or script == SCRIPT


def keras_home() -> Path:
    """Returns the directory of Keras's configuration and downloads, by the rules of Keras."""
    # Unlike Path.expanduser, this keeps the tilde if the home directory is unknown.
    home = os.path.expanduser(os.environ.get("KERAS_HOME", "~"))  # noqa: PTH111
    if "KERAS_HOME" in os.environ:
        return Path(home)
    return Path(home if os.access(home, os.W_OK) else "/tmp", ".keras")


def backend() -> tuple[str, str]:
    """Returns the backend that Keras will use, and the variable or file that chooses it."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name, "KERAS_BACKEND"
    file = keras_home() / "keras.json"
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["backend"]), str(file)
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow", "the default"


def check(
    name: str, modules: Iterable[str] = (), *, tensorflow: bool = True, keras: bool = True
) -> None:
    """Ends a command with one line if a module is missing, or the backend is not TensorFlow.

    From then on an ImportError at the top of a module is also printed as one line.

    Args:
        name: the command.
        modules: what it needs besides TensorFlow.
        tensorflow: whether it needs TensorFlow.
        keras: whether Keras is imported now, which takes seconds; else `import_keras` does it.
    """
    sys.excepthook = _report
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        fail(f"{name} needs {', '.join(missing)}: {install(missing[0])}")
    if tensorflow:
        _check_tensorflow(name)
        if keras:
            import_keras(name)


def import_keras(name: str) -> None:
    """Imports Keras, and with it TensorFlow; ends the command `name` with one line if it fails."""
    from keras_resnet.console import progress

    try:
        with progress.shown("importing TensorFlow"):
            importlib.import_module("keras")
    except Exception as error:  # whatever a broken installation or configuration raises
        fail(f"{name} cannot import Keras: {type(error).__name__}: {error}")


def _check_tensorflow(name: str) -> None:
    found, where = backend()
    if found != "tensorflow":
        fail(
            f"{name} needs TensorFlow, and {where} chooses the backend {found!r}:"
            " set KERAS_BACKEND=tensorflow"
        )
    wanted = ".".join(map(str, OLDEST))
    install = f"pip install 'tensorflow>={wanted}'"
    if importlib.util.find_spec("tensorflow") is None:
        fail(f"{name} needs TensorFlow, which is not installed: {install}")
    version = _version("tensorflow")
    if version and version < OLDEST:
        told = ".".join(map(str, version))
        fail(f"{name} needs TensorFlow {wanted} or later, got {told}: {install}")


def _version(package: str) -> tuple[int, ...] | None:
    """Returns the first two numbers of a version; None for a package without metadata."""
    try:
        text = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def install(module: str) -> str:
    """Returns the command that installs a module of EXTRAS, or "" for another module."""
    for extra, modules in EXTRAS.items():
        if module in modules:
            package = "-e '.[train]'" if extra == "train" else f"'he-keras-resnet[{extra}]'"
            return f"pip install {package}"
    return ""


def fail(message: object) -> NoReturn:
    """Ends the process with one line on stderr, and exit code 1."""
    sys.exit(_line(message))


def _line(message: object) -> str:
    return f"error: {' '.join(str(message).split())}"


class Help(NamedTuple):
    """What a command says of itself.

    Attributes:
        usage: returns the text of --help from the other arguments; None: absl's.
        alike: what people give who mean a flag, such as {"lr": "learning_rate"}.
        removed: names of flags of earlier versions, and what to do instead.
    """

    usage: Callable[[list[str]], str] | None = None
    alike: Mapping[str, str] = {}
    removed: Mapping[str, str] = {}


NO_HELP = Help()


def run(main: Callable[..., None], about: Help = NO_HELP, *, words: int = 0) -> None:
    """Runs a command whose flags are defined, and ends the process.

    Args:
        main: the command.
        about: what it says of itself.
        words: how many arguments that are not flags `main` takes, at most.

    Errors that a user can correct are one line on stderr, with exit code 1: an unknown flag, an
    argument that is not a flag, and each ValueError, TypeError, OSError, MemoryError and
    ImportError of `main`.
    """
    flags.DEFINE_bool("verbose", False, "Show the notes of TensorFlow's C++ libraries.")
    app.run(lambda given: _command(main, given[1:], words), flags_parser=partial(_parse, about))


def _parse(about: Help, arguments: list[str]) -> list[str]:
    try:
        if about.usage and HELP & {*arguments[1:]}:
            print(about.usage([word for word in arguments if word not in HELP]))
            sys.exit(0)
        return flags.FLAGS(arguments)
    except flags.UnrecognizedFlagError as error:
        fail(_unknown(error.flagname.lstrip("-").partition("=")[0], about))
    except ValueError as error:  # of the help
        fail(error)
    except flags.Error as error:
        if missing := MISSING.search(str(error)):
            fail(f"--{missing[1]} is missing: {flags.FLAGS[missing[1]].help} See --help")
        fail(f"{error}; see --help")


def _unknown(name: str, about: Help) -> str:
    if name in about.removed:
        return f"--{name} was removed: {about.removed[name]}"
    word = name.replace("-", "_").lower()
    meant = about.alike.get(word) or word
    found = difflib.get_close_matches(meant, list(flags.FLAGS), 1, 0.7)
    hint = f": did you mean --{found[0]}? See --help" if found else "; see --help"
    return f"unknown flag --{name}{hint}"


def _command(main: Callable[..., None], words: list[str], most: int = 0) -> None:
    quiet()
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # training has its own handlers
        signal.signal(signal.SIGTERM, _stopped)  # unwinding removes half-written files
    if len(words) > most:
        fail(f"flags begin with --, got {' '.join(words[most:])!r}; see --help")
    try:
        main(*words)
    except ImportError as error:
        fail(_unimported(error))
    except MemoryError as error:
        fail(f"out of memory: {error}")
    except (ValueError, TypeError, OSError) as error:
        fail(error)
    except KeyboardInterrupt:
        _stopped(signal.SIGINT)


def _stopped(number: int, _frame: object = None) -> NoReturn:
    print("stopped", flush=True)
    sys.exit(128 + number)


def _unimported(error: ImportError) -> str:
    module = (error.name or "").partition(".")[0]
    return f"{error}: {install(module)}".removesuffix(": ")


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, ImportError):
        sys.stderr.write(_line(_unimported(error)) + "\n")
    elif isinstance(error, KeyboardInterrupt):
        print("stopped", flush=True)
    else:
        sys.__excepthook__(kind, error, trace)


class _Plain(logging.Formatter):
    """Shows a warning without date, thread and line of code."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {record.getMessage()}"


def quiet() -> None:
    """Hides informational messages of libraries."""
    absl_logging.set_verbosity(absl_logging.WARNING)
    absl_logging.get_absl_handler().setFormatter(_Plain())
    logging.getLogger("tensorflow").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # a warning per attempt of a download


def last_said() -> float:
    """Returns when `say` has printed last, by `time.monotonic`; 0.0 if it has not."""
    return _said


def say(line: str) -> None:
    """Prints a line at once. On a full disk the line is lost, and the run continues.

    Characters that the terminal cannot show are escaped.
    """
    global _said  # noqa: PLW0603 - a process has one stdout
    _said = time.monotonic()
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(line.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except OSError as error:
        if error.errno not in FULL:
            raise
