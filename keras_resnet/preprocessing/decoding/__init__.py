"""From the bytes of image files to pixels, inside a TensorFlow graph, exactly as Pillow does it.

`total` bounds what strangers send; `decode` makes pixels of it. Both are graphs of operations that
TensorFlow 2.19 knows, so that it can load exports.
"""

from keras_resnet.preprocessing.decoding.bounds import total
from keras_resnet.preprocessing.decoding.colours import CHANNELS
from keras_resnet.preprocessing.decoding.errors import reason
from keras_resnet.preprocessing.decoding.files import decode

__all__ = ["CHANNELS", "decode", "reason", "total"]
