"""Decodes image files inside a TensorFlow graph, with the same pixels as Pillow.

`total` refuses images of untrusted clients that are too large; `decode` decodes them. Both use only
operations of TensorFlow 2.19, which can therefore load exports.
"""

from keras_resnet.preprocessing.decoding.bounds import total
from keras_resnet.preprocessing.decoding.colours import CHANNELS
from keras_resnet.preprocessing.decoding.errors import reason
from keras_resnet.preprocessing.decoding.files import decode, decode_view, seen

__all__ = ["CHANNELS", "decode", "decode_view", "reason", "seen", "total"]
