"""The line in which a run says what it trains, and on what."""

import keras
import tensorflow as tf

from keras_resnet.analysis.cost import cost
from train.recipes.data import Data
from train.run import devices


def start_line(
    data: Data,
    model: keras.Model,
    strategy: tf.distribute.Strategy,
    precision: str,
    *,
    jit_compile: bool,
) -> str:
    """Returns what really runs; multiply-adds are those of one training image."""
    recipe = data.recipe
    costs = cost(model, data.train_shape)
    kind = "GPU" if devices.gpus() else "CPU"
    return (
        f"{recipe.network} on {recipe.dataset}: {costs.parameters:,} parameters,"
        f" {costs.multiply_adds:,} multiply-adds; {recipe.batch_size} images a step on"
        f" {strategy.num_replicas_in_sync} replica(s) ({kind}) of"
        f" {devices.num_workers(strategy)} worker(s), {precision},"
        f" XLA {'on' if jit_compile else 'off'}; {data.splits['train'].size:,} examples"
    )
