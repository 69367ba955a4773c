"""`predict` compiles a network no more often than a model of two plain layers of Keras."""

import keras
import numpy as np

import keras_resnet

SIZES = ((1, 1), (7, 7), (32, 32), (40, 32), (5, 3), (64, 32), (2, 1), (7, 7))  # images, batch size


def traces(model: keras.Model) -> int:
    """Returns how often TensorFlow traced the function of `predict`."""
    for images, batch in SIZES:
        model.predict(np.zeros((images, 32, 32, 3), np.float32), batch_size=batch, verbose=0)
    return model.predict_function.experimental_get_tracing_count()


def test_other_batch_sizes_compile_nothing_more():
    image = keras.Input((32, 32, 3))
    features = keras.layers.GlobalAveragePooling2D()(image)
    plain = traces(keras.Model(image, keras.layers.Dense(10)(features)))
    ours = traces(keras_resnet.resnet("resnet20", repeats=[1, 1], input_shape=(32, 32, 3)))
    assert 1 <= ours <= plain < len(SIZES)
