"""TensorFlow Serving's messages, without the seconds that importing TensorFlow takes.

`tensorflow_serving.apis` imports `tensorflow.core...._pb2`, descriptions of messages that only need
protobuf. But importing a module imports its parent packages, and `tensorflow` imports everything.
So while messages are loaded an empty package with the same search path replaces it. Afterwards it
is removed, and `import tensorflow` works as usual: protobuf keeps one class per message, however
often its description is loaded.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

PARENT = "tensorflow"


def load(name: str) -> ModuleType:
    """Imports a module of messages, such as `tensorflow_serving.apis.predict_pb2`.

    Call it only at import time: no other thread may import TensorFlow meanwhile.

    Raises:
        ImportError: if the packages that hold the messages are not installed.
    """
    with _stand_in():
        return importlib.import_module(name)


@contextmanager
def _stand_in() -> Iterator[None]:
    if PARENT in sys.modules:  # TensorFlow itself is imported already
        yield
        return
    spec = importlib.util.find_spec(PARENT)  # does not run the package
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
