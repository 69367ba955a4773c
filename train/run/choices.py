"""What there is to choose of the place of a run; the help of commands does not wait for more."""

STRATEGIES = ("one", "mirrored", "multi_worker", "tpu")
KINDS = ("gpu", "cpu")  # of devices
PRECISIONS = ("float32", "bfloat16", "float16")  # of activations
