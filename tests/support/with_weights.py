"""`python -m tests.support.with_weights FOLDER MODULE ARGUMENTS`: the weights by name are there."""

import runpy
import sys
from pathlib import Path

from keras_resnet.weights import catalogue

if __name__ == "__main__":
    catalogue.SHIPPED = Path(sys.argv[1])
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
