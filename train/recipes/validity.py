"""Whether a recipe can be followed at a place; what a recipe alone says is checked by `Recipe`."""

from keras_resnet.preprocessing import Preprocessing
from train.recipes.recipe import Recipe


def check(recipe: Recipe, *, replicas: int, precision: str, jit_compile: bool) -> None:
    """Checks a recipe against the place where it is to run.

    Args:
        recipe: what is to be trained.
        replicas: how many of them share each batch.
        precision: of activations: "float32", "bfloat16" or "float16".
        jit_compile: whether XLA compiles the step.

    Raises:
        ValueError: naming the values that do not go together.
    """
    parts = recipe.batch_size // recipe.micro_batches
    if parts % replicas:
        raise ValueError(
            f"a batch, or micro-batch, must be a multiple of the {replicas} replicas, got {parts}"
        )
    share = recipe.batch_size // replicas
    if (recipe.mixup or recipe.cutmix) and share % 2:
        raise ValueError(f"mixup and cutmix need an even number of images a replica, got {share}")
    if recipe.sync_bn and (jit_compile or recipe.micro_batches > 1):
        raise ValueError(
            "sync_bn waits for other replicas in the middle of the network, which neither"
            f" jit_compile={jit_compile} nor micro_batches={recipe.micro_batches} can"
        )
    if recipe.quantize and precision != "float32":
        raise ValueError(f"quantize needs precision=float32, got {precision}")


def check_channels(name: str, preprocess: Preprocessing, channels: int) -> None:
    """Checks a named preprocessing against the images of a data set.

    Raises:
        ValueError: if its mean has another number of channels.
    """
    needed = len(preprocess.mean)
    if needed not in (1, channels):
        raise ValueError(
            f"preprocessing={name!r} needs {needed} channels, the images have {channels}"
        )
