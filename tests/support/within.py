"""Another environment: `python -m tests.support.within NAME=VALUE MODULE ARGUMENT …`."""

import os
import runpy
import sys

if __name__ == "__main__":
    name, value = sys.argv[1].split("=", 1)
    os.environ[name] = value
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
