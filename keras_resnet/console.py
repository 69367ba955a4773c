"""What the command lines share."""

import logging

from absl import logging as absl_logging


def quiet() -> None:
    """Hides the notes of libraries, so that what a command prints is what it has to say."""
    absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger("tensorflow").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # each attempt of a download
