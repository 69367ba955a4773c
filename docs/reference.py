"""Entries of the API reference, in the markup of Sphinx, from the public names of the package.

A page in `docs/reference/` has only an introduction; `docs/conf.py` adds the entries of its modules
while the site is built, so that no name can be missing or out of date.
"""

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass
from types import ModuleType
from typing import Any

import keras_resnet
from keras_resnet.models import builders
from keras_resnet.specs import BASIC, DEEP_STEM, WIDE_BOTTLENECK

# Pages, each with the modules whose `__all__` it shows. A module in the `__all__` of a package
# is shown, too.
PAGES = {
    "keras_resnet": ("keras_resnet",),
    "network": ("keras_resnet.network",),
    "preprocessing": ("keras_resnet.preprocessing",),
    "weights": ("keras_resnet.weights",),
    "manifest": ("keras_resnet.manifest",),
    "transfer": ("keras_resnet.transfer",),
    "analysis": ("keras_resnet.analysis",),
    "rewrite": ("keras_resnet.rewrite",),
    "export": ("keras_resnet.export",),
}
# What the constants are; a docstring is only found of functions and classes.
CONSTANTS = {
    "keras_resnet.FAMILY": "All networks: names such as `resnet50` to their :class:`Spec`.",
    "keras_resnet.network.Activation": "Type of `classifier_activation`: what follows the logits.",
    "keras_resnet.network.Pooling": 'Type of `pooling`: None, "avg" or "max".',
    "keras_resnet.preprocessing.MODES": 'Published preprocessings: "caffe", "torch", "tf", "none".',
    "keras_resnet.weights.SOURCES": "The projects whose weights are read: names to sources.",
    "keras_resnet.manifest.ACTIVATIONS": "What can follow the logits.",
    "keras_resnet.manifest.ENTRY": "Where a `.weights.h5` file keeps its manifest.",
    "keras_resnet.manifest.NONE": "The logits are the output.",
    "keras_resnet.manifest.SIGMOID": "Each label applies or not.",
    "keras_resnet.manifest.SOFTMAX": "Exactly one label applies.",
    "keras_resnet.rewrite.graph.Node": "Type of a call of a layer, as Keras keeps it.",
    "keras_resnet.export.job.PRECISIONS": "Precisions of a SavedModel.",
    "keras_resnet.export.formats.BFLOAT16": "The bound of a SavedModel in bfloat16.",
    "keras_resnet.export.formats.FORMATS": "The formats by name, as `--formats` takes them.",
    "keras_resnet.export.report.Array": "Type of a NumPy array.",
    "keras_resnet.export.report.Runner": "Type of a function from images [n, ...] to logits.",
}
# Shown before the other names of `keras_resnet`.
DOORS = ("resnet", "from_weights", "list_weights")
FULL = "ResNet50"  # the builder whose entry lists all arguments
TABLES = {BASIC: "BASIC", WIDE_BOTTLENECK: "WIDE_BOTTLENECK", DEEP_STEM: "DEEP_STEM"}
WITHOUT = "<!-- without the site -->"  # what follows it in a page is only for Git hosts
ABOUT_BUILDERS = """## Networks by name

[The family](../family.md) says what each network is. All functions take the arguments of
`ResNet50`, in the same order; `**arguments` stands for those with the same default. `BASIC`,
`WIDE_BOTTLENECK` and `DEEP_STEM` are tables of convolutions in `keras_resnet.specs`.
"""


def names(page: str) -> list[str]:
    """Returns the dotted names of all that a page shows."""
    return [name for module in modules(page) for name in _public(module)]


def modules(page: str) -> list[ModuleType]:
    """Returns the modules of a page, those in the `__all__` of a package included."""
    found = []
    for name in PAGES[page]:
        module = importlib.import_module(name)
        inner = [f"{name}.{part}" for part in module.__all__ if _is_module(module, part)]
        found += [module, *map(importlib.import_module, inner)]
    return found


def complete(page: str, text: str) -> str:
    """Returns the text of a page with its entries, in MyST's Markdown."""
    return "\n".join((text.partition(WITHOUT)[0], *_sections(page)))


def _sections(page: str) -> Iterator[str]:
    for module in modules(page):
        if module.__name__ not in PAGES[page]:
            yield f"\n## {module.__name__}\n\n{(module.__doc__ or '').partition(chr(10))[0]}\n"
        found = _public(module)
        yield from (_entry(name) for name in found if not _builds(name))
        if module.__name__ == "keras_resnet":
            yield _builders()


def _public(module: ModuleType) -> list[str]:
    """Returns the dotted names in the `__all__` of a module that are no modules."""
    found = [name for name in module.__all__ if not _is_module(module, name)]
    first = [name for name in DOORS if name in found and module.__name__ == "keras_resnet"]
    return [f"{module.__name__}.{name}" for name in dict.fromkeys((*first, *found))]


def _is_module(module: ModuleType, name: str) -> bool:
    return not hasattr(module, name) or inspect.ismodule(getattr(module, name))


def _builds(name: str) -> bool:
    package, _, function = name.rpartition(".")
    return package == "keras_resnet" and function in builders.__all__


def with_fields(kind: type, lines: list[str]) -> None:
    """Adds the comments beside the fields of a class to its docstring, unless it explains them."""
    if not {"Args:", "Attributes:"}.isdisjoint(line.strip() for line in lines):
        return
    comments = {name: text for name, text in _comments(kind) if text}
    if comments:
        lines += ["", "Attributes:", *(f"    {name}: {text}" for name, text in comments.items())]


def _comments(kind: type) -> Iterator[tuple[str, str]]:
    """Yields the fields of a named tuple or data class, each with the comment behind it."""
    if not is_dataclass(kind) and not hasattr(kind, "_fields"):
        return
    source = textwrap.dedent(inspect.getsource(kind))
    lines = source.splitlines()
    for node in ast.parse(source).body[0].body:
        if isinstance(node, ast.AnnAssign) and not node.target.id.startswith("_"):
            own = lines[node.lineno - 1 : node.end_lineno]
            found = [line.partition("  # ")[2] for line in own]
            yield node.target.id, " ".join(filter(None, found))


def _entry(name: str) -> str:
    module, _, own = name.rpartition(".")
    value = getattr(importlib.import_module(module), own)
    if name in CONSTANTS:
        return _block(f".. py:data:: {name}\n\n   {CONSTANTS[name].replace('`', '``')}")
    if module != "keras_resnet" and getattr(keras_resnet, own, None) is value:
        kind = "class" if inspect.isclass(value) else "function"
        text = f"Is :obj:`keras_resnet.{own}`."
        return _block(f".. py:{kind}:: {name}{_arguments(value)}\n\n   {text}")
    if inspect.isclass(value):
        special = "   :special-members: __call__\n" if "__call__" in vars(value) else ""
        arguments = _arguments(value)
        return _block(f".. autoclass:: {name}{arguments}\n   :members:\n{special}")
    return _block(f".. autofunction:: {name}")


def _arguments(value: Any) -> inspect.Signature | str:
    """Returns the arguments of a function or a class, without their types."""
    if inspect.isclass(value) and issubclass(value, Exception):
        return ""  # those of all exceptions
    nothing = inspect.Parameter.empty
    found = inspect.signature(value).parameters.values()
    return inspect.Signature([each.replace(annotation=nothing) for each in found])


def _builders() -> str:
    """Returns entries of the builders: one in full, since they differ in defaults of fields."""
    others = [name for name in builders.__all__ if name != FULL]
    signatures = [f"keras_resnet.{name}({_changes(name)})" for name in others]
    listed = ("\n" + " " * len(".. py:function:: ")).join(signatures)
    return (
        f"\n{ABOUT_BUILDERS}"
        + _block(f".. autofunction:: keras_resnet.{FULL}")
        + _block(f".. py:function:: {listed}\n\n   Arguments as for :func:`ResNet50`.")
    )


def _changes(name: str) -> str:
    """Returns the defaults that differ from those of the builder that is shown in full."""
    own, full = (
        inspect.signature(getattr(builders, each)).parameters.values() for each in (name, FULL)
    )
    changed = {
        one.name: TABLES.get(one.default, _plain(one.default))
        for one, other in zip(own, full, strict=True)
        if one.default != other.default
    }
    return ", ".join(["*", *(f"{field}={text}" for field, text in changed.items()), "**arguments"])


def _plain(value: Any) -> str:
    """Returns a default as Python; convolutions as tuples."""
    if isinstance(value, tuple) and all(isinstance(row, tuple) for row in value):
        value = tuple(map(tuple, value))
    return repr(value)


def _block(text: str) -> str:
    return "\n```{eval-rst}\n" + text + "\n```\n"
