"""TensorFlow Serving's messages, without the seconds that importing TensorFlow takes.

`tensorflow_serving.apis` imports `tensorflow.core.…_pb2`: descriptions of messages that need
nothing but protobuf. Yet whoever imports a module imports its parents, and those of TensorFlow
bring all of it. While messages load, an empty package that finds the same files stands in for it.
Then it is gone and `import tensorflow` works as ever; protobuf keeps one class for each message,
however often its description is loaded.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

PARENT = "tensorflow"


def load(name: str) -> ModuleType:
    """Imports a module of messages, as `tensorflow_serving.apis.predict_pb2`.

    To be called while no other thread imports TensorFlow: when modules are imported.

    Raises:
        ImportError: if the packages that hold the messages are not installed.
    """
    with _stand_in():
        return importlib.import_module(name)


@contextmanager
def _stand_in() -> Iterator[None]:
    if PARENT in sys.modules:  # the real one: it has been paid for
        yield
        return
    spec = importlib.util.find_spec(PARENT)  # finds the package and runs nothing of it
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("messages need: pip install tensorflow-serving-api")
    package = ModuleType(PARENT)
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules[PARENT] = package
    try:
        yield
    finally:
        for name in [n for n in sys.modules if n == PARENT or n.startswith(f"{PARENT}.")]:
            del sys.modules[name]
