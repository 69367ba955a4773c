"""`python -m saved_models.serving.page`: see `demo`."""

import sys

from saved_models.serving import noise
from saved_models.serving.page import demo

if __name__ == "__main__":
    noise.hide()
    sys.exit(demo.main())
