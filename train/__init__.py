"""Trains and evaluates networks of `keras_resnet`; run from a checkout, never installed."""

import os
import sys

from train.run import interruption

# TensorFlow reads it when it is imported. By itself it leaves oneDNN off on x86 processors with
# neither AVX512-VNNI nor AMX, where steps are up to twice as fast with it, too.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# While Python locates the module of `python -m train…`, this is the name of the program.
if sys.argv[:1] == ["-m"]:
    # A command can be interrupted from here on, also while TensorFlow is imported for seconds.
    interruption.install()

    from train.run import requirements

    requirements.check()
