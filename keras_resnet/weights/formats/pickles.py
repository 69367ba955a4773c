"""Reads pickles of containers and tensors without running code of the file.

Python's unpickler imports and calls every function that a pickle names, and allocates any amount of
memory. This one interprets the opcodes of containers and numbers only, and looks names up in a
table of the caller: a file cannot reach any other function. A checkpoint may contain settings as
objects beside the weights: a name that is not in the table, and every object that the file creates
with it, becomes an `Unknown`.
"""

import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

from keras_resnet.weights.formats.tensors import named

MARK = object()
EMPTY: Mapping[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": lambda: Unknown("set"),
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "MARK": MARK}
LITERALS = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT"  # noqa: SIM905
    " STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8"
    " BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8".split()
)
SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Call(NamedTuple):
    """A function of this package in place of one that a pickle may call."""

    function: Callable[..., Any]


class Unknown(dict[Any, Any]):
    """Stands for an unknown name, or an object that is not created.

    It stores items, because there are many classes of dictionaries, and drops everything else.
    """

    __slots__ = ("kind", "module")

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind[:80]  # the name in the file
        self.module = False  # whether its attributes are those of a PyTorch module


class Buildable:
    """An object that a pickle creates empty and fills by the opcode BUILD."""

    def build(self, state: Any) -> None:
        raise NotImplementedError


def load(
    stream: BinaryIO,
    names: Mapping[str, Any],
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Reads one pickle; the stream is then at its end.

    Args:
        stream: at the beginning of a pickle.
        names: values for names "module.name" in the pickle; a `Call` may be called. An `Unknown`
            is used for every other name.
        persistent: returns objects that are stored outside of the pickle, by their id.

    Raises:
        ValueError: for opcodes that files of weights do not have, and for malformed pickles.
    """
    machine = _Machine(names, persistent)
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "STOP":
            return machine.stack.pop()
        machine.step(opcode.name, argument)
    raise ValueError("the pickle has no end")


class _Machine:
    def __init__(self, names: Mapping[str, Any], persistent: Callable[[Any], Any] | None) -> None:
        self.names, self.persistent = names, persistent
        self.unknown: dict[str, Unknown] = {}
        self.stack: list[Any] = []
        self.memo: dict[Any, Any] = {}

    def step(self, opcode: str, argument: Any) -> None:
        if opcode in LITERALS:
            self.stack.append(argument)
        elif opcode in CONSTANTS:
            self.stack.append(CONSTANTS[opcode])
        elif opcode in EMPTY:
            self.stack.append(EMPTY[opcode]())
        elif opcode in SHORT_TUPLES:
            count = SHORT_TUPLES[opcode]
            self.stack[-count:] = [tuple(self.stack[-count:])]
        elif opcode in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif opcode in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif method := getattr(self, f"op_{opcode.lower()}", None):
            method(argument)
        else:
            raise ValueError(f"its pickle contains {opcode}; only containers and tensors are read")

    def op_proto(self, _: Any) -> None:
        """Ignores the version: the opcodes are known by their names."""

    op_frame = op_proto

    def op_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def op_pop(self, _: Any) -> None:
        self.stack.pop()

    def op_pop_mark(self, _: Any) -> None:
        self._to_mark()

    def op_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._to_mark()))

    def op_list(self, _: Any) -> None:
        self.stack.append(self._to_mark())

    def op_dict(self, _: Any) -> None:
        items = self._to_mark()
        self.stack.append({})
        self._set(items)

    def op_append(self, _: Any) -> None:
        self._extend([self.stack.pop()])

    def op_appends(self, _: Any) -> None:
        self._extend(self._to_mark())

    def op_setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def op_setitems(self, _: Any) -> None:
        self._set(self._to_mark())

    def op_additems(self, _: Any) -> None:
        self._extend(self._to_mark())

    def op_frozenset(self, _: Any) -> None:
        self._to_mark()
        self.stack.append(Unknown("frozenset"))

    def op_global(self, argument: str) -> None:
        self._name(argument.replace(" ", "."))

    def op_stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        # Not formatted before the types are checked: containers can be nested exponentially.
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError(f"its pickle names {named(module)} and {named(name)}")
        self._name(f"{module}.{name}")

    def op_binpersid(self, _: Any) -> None:
        if self.persistent is None:
            raise ValueError("its pickle refers to an object outside of it")
        self.stack.append(self.persistent(self.stack.pop()))

    def op_reduce(self, _: Any) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        if not isinstance(called, Call | Unknown) or not isinstance(arguments, tuple):
            raise ValueError(f"its pickle calls {named(called)}, which cannot be called")
        if isinstance(called, Unknown):
            self.stack.append(Unknown(called.kind))
        else:
            self.stack.append(called.function(*arguments))

    op_newobj = op_reduce

    def op_newobj_ex(self, _: Any) -> None:
        self.stack.pop()  # arguments by keyword
        self.op_reduce(None)

    def op_inst(self, argument: str) -> None:
        arguments = tuple(self._to_mark())
        self.op_global(argument)
        self.stack.append(arguments)
        self.op_reduce(None)

    def op_obj(self, _: Any) -> None:
        called, *arguments = self._to_mark()
        self.stack += [called, tuple(arguments)]
        self.op_reduce(None)

    def op_build(self, _: Any) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Buildable):
            target.build(state)
        elif isinstance(target, Unknown):
            target.module |= isinstance(state, dict) and "_modules" in state
        elif not isinstance(target, dict):  # attributes of a dictionary are ignored
            raise ValueError(f"its pickle gives attributes to a {type(target).__name__}")

    def _name(self, name: str) -> None:
        if name in self.names:
            self.stack.append(self.names[name])
        else:
            self.stack.append(self.unknown.setdefault(name, Unknown(name)))

    def _to_mark(self) -> list[Any]:
        for position in range(len(self.stack) - 1, -1, -1):
            if self.stack[position] is MARK:
                items = self.stack[position + 1 :]
                del self.stack[position:]
                return items
        raise ValueError("its pickle ends a container that was not begun")

    def _extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Unknown):
            raise ValueError(f"its pickle appends to a {type(target).__name__}")

    def _set(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError(f"its pickle sets items of a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Keys of weights are strings; hashing nested tuples can exhaust the C stack.
            if isinstance(key, str | int):
                target[key] = value
