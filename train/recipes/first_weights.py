"""The file of weights that a training starts from, opened once for all that it says."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from keras_resnet import weights
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.weights import Held, Told


class FirstWeights:
    """A file of weights that is opened when it is first needed, and stays open until `close`.

    A run that resumes needs neither its network, its preprocessing nor its tensors: the file may
    be missing then.

    Args:
        file: a path, URL, hf://owner/name, or a name in `keras_resnet.list_weights()`.
        network: the one that its user names, if any; the name of a data set needs it.
    """

    def __init__(self, file: str, network: str | None = None) -> None:
        self._file = file
        self._network = network
        self._open = ExitStack()
        self._held: Held | None = None

    @property
    def held(self) -> Held:
        """The open file.

        Raises:
            ValueError: if it is missing, damaged, or not of this family.
        """
        if self._held is None:
            file = weights.local(self._file, self._network)
            self._held = self._open.enter_context(weights.opened(file))
        return self._held

    def preprocessing(
        self, network: str, fields: Mapping[str, Any], channels: int
    ) -> Preprocessing:
        """Returns the preprocessing that the weights were trained with, for these channels.

        Raises:
            ValueError: if the file does not say it.
        """
        manifest = self.held.settle(Told(network, fields=dict(fields)))
        adapted = weights.adapted(manifest, channels, len(manifest.labels))
        return adapted.known_preprocessing()

    def close(self) -> None:
        """Closes the file; it is opened again if it is needed again."""
        self._open.close()
        self._held = None
