"""`python -m saved_models.serving.client`: see `command`."""

import os
import sys

from saved_models.serving.client import command

if __name__ == "__main__":
    code = command.main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # without waiting for the threads of requests that are still open
