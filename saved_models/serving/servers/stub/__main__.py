"""Serves the models of a `models.config` on free ports of this machine, to try a client.

    python -m saved_models.serving.servers.stub MODELS.config

It prints the addresses of gRPC and REST as one line of JSON, and ends when its input ends (Ctrl-D)
or on Ctrl-C. TensorFlow has to be installed; its Python is not imported.
"""

import contextlib
import json
import sys
from pathlib import Path

from google.protobuf import text_format

from saved_models.serving import noise
from saved_models.serving.servers.stub.loader import Refusal
from saved_models.serving.servers.stub.server import Models, serving

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    noise.hide()
    try:
        models = Models(Path(sys.argv[1]))
    except (ImportError, OSError, ValueError, KeyError, Refusal, text_format.ParseError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    with serving(models) as addresses, contextlib.suppress(KeyboardInterrupt):
        print(json.dumps(addresses), flush=True)
        sys.stdin.read()
