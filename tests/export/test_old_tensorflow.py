"""An export loads in TensorFlow 2.19: an operation that it does not know would be fatal."""

from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

# What `TF_GetAllOpList` of TensorFlow 2.21.0 lists and that of 2.19.1 does not: all came with 2.20,
# DecodeJxl with 2.21.
NEWER = {
    "DecodeJxl",
    "DecodeWebP",
    "TPUDummyInput",
    "XlaSparseActivationsUnstack",
    "XlaSparseDenseMatmulCustomCombinerOnTcGradWithAdagradAndCsrInput",
    "XlaSparseDenseMatmulCustomCombinerOnTcGradWithAdagradMomentumAndCsrInput",
    "XlaSparseDenseMatmulCustomCombinerOnTcGradWithAdamAndCsrInput",
    "XlaSparseDenseMatmulCustomCombinerOnTcGradWithCsrInput",
    "XlaSparseDenseMatmulCustomCombinerOnTcGradWithFtrlAndCsrInput",
    "XlaSparseDenseMatmulCustomCombinerOnTcGradWithSgdAndCsrInput",
    "XlaSparseDenseMatmulCustomCombinerOnTcWithCsrInput",
    "XlaSparseGradientsStack",
}
KNOWN_VERSION = (2, 21)  # of TensorFlow, up to which the list is complete


def operations(directory: Path) -> Iterator[str]:
    """Yields the operations of a SavedModel, with those in its library of functions."""
    saved = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    for graph in (meta.graph_def for meta in saved.meta_graphs):
        yield from (node.op for node in graph.node)
        for function in graph.library.function:
            yield from (node.op for node in function.node_def)


def test_the_operations_of_an_export_are_old(exported):
    found = set(operations(exported[0]))
    assert found & NEWER == set()
    # Those that decode are seen, so the library of functions was looked into.
    assert {"DecodeJpeg", "DecodePng", "DecodeImage", "Conv2D", "ScaleAndTranslate"} <= found


def test_the_list_is_of_this_tensorflow():
    """What a newer one adds has to be looked up before exports are made with it."""
    assert tuple(int(part) for part in tf.__version__.split(".")[:2]) <= KNOWN_VERSION
    assert all(op_def_registry.get(name) for name in NEWER)
