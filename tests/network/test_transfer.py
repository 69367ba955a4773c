"""Fine-tuning: what is frozen stays, in training too, and the rest learns at its own rate."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnet import freeze, resnet, transfer, weights
from tests.support import variants
from tests.support.helpers import recipe
from tests.support.saved_networks import manifest
from train import recipes
from train.recipes import plan

TINY = {"repeats": (1, 1, 1), "input_shape": (8, 8, 3), "classifier_activation": None}
IMAGES = variants.images(8, 8, 8, 3)
LABELS = np.arange(8) % 10


def network(**fields) -> keras.Model:
    model = resnet("resnet20", **{**TINY, **fields})
    variants.randomize(model)
    return model


def partial_rates(model: keras.Model) -> list[float]:
    return transfer.rates(model, 0.5)


def values(model: keras.Model, part: str) -> list[np.ndarray]:
    """All weights of a part, statistics included."""
    start = {"head": "logits"}.get(part, part)
    return [w.copy() for x in model.layers if x.name.startswith(start) for w in x.get_weights()]


def train(model: keras.Model, count: int = 1, **changes) -> None:
    row = recipe(init_weights="a", weight_decay=0.01, momentum=0.0, **changes)
    strategy = tf.distribute.get_strategy()
    step = plan.train_step(row, strategy, model, plan.update(row, model), plan.task(row))
    labels = tf.constant(LABELS, tf.int64)
    for _ in range(count):
        step(tf.constant(IMAGES), labels, tf.ones(len(LABELS)), tf.constant(0.1))


def test_frozen_parts_stay_and_the_others_learn() -> None:
    model = network()
    freeze(model, ("stem", "stage2"))
    parts = model.spec.parts
    before = {part: values(model, part) for part in parts}
    train(model, 3)
    for part in parts:
        same = [
            np.array_equal(a, b) for a, b in zip(before[part], values(model, part), strict=True)
        ]
        assert all(same) if part in ("stem", "stage2") else not any(same), part


def test_frozen_normalizations_use_their_statistics_in_training() -> None:
    """Keras 2 froze only gamma and beta; the batch would still decide what comes out."""
    model = network()
    freeze(model, model.spec.parts)
    np.testing.assert_array_equal(model(IMAGES, training=True), model(IMAGES, training=False))
    freeze(model, [])
    assert np.abs(model(IMAGES, training=True) - model(IMAGES, training=False)).max() > 0.1
    assert len(model.trainable_variables) == len(network().trainable_variables)


@pytest.mark.parametrize("name", ["stage4", "layer1", "", "logits"])
def test_other_parts_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"stem, stage1, stage2, stage3, head; got") as caught:
        freeze(network(), ["stem", name])
    assert caught.value.args[0].endswith(f"got {name}")


def test_one_part_is_given_by_its_name() -> None:
    one, other = network(), network()
    freeze(one, "stem")
    freeze(other, ["stem"])
    trained = [[v.path for v in model.trainable_variables] for model in (one, other)]
    assert trained[0] == trained[1]
    assert not [path for path in trained[0] if path.startswith("stem")]


def test_freezing_nothing_is_said() -> None:
    """`freeze(model)` reads like freezing all of it, and once let all of it learn."""
    model = network()
    freeze(model, ["stem"])
    before = len(model.trainable_variables)
    for call in (lambda: freeze(model), lambda: freeze(model, None)):
        with pytest.raises(TypeError, match=r"stage3, head; freeze\(model, \[\]\) unfreezes all"):
            call()
    assert len(model.trainable_variables) == before


@pytest.mark.parametrize(
    "call", [lambda model: freeze(model, ["stem"]), partial_rates], ids=["freeze", "rates"]
)
def test_only_networks_with_a_spec_have_parts(call) -> None:
    model = network()
    nested = keras.Sequential([keras.Input((8, 8, 3)), model], name="around")
    clone = keras.models.clone_model(model)
    small = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="small")
    for other, words in {
        nested: r"pass around.get_layer\('resnet8'\)",
        clone: "copy its weights if it is a clone",
        small: "small has no spec",
    }.items():
        with pytest.raises(ValueError, match=words):
            call(other)
    with pytest.raises(TypeError, match="built, got 'resnet8'"):
        call("resnet8")


def test_every_layer_with_weights_has_its_part() -> None:
    model = resnet("resnet20_v2", repeats=(1, 1, 1))
    found = {x.name: model.parts[x.name] for x in model.layers if x.weights}
    assert found["stem_conv1_bn"] == "stem"
    assert found["stage2_block1_preact_bn"] == "stage2"
    assert found["final_bn"] == "stage3"
    assert found["logits"] == "head"
    assert set(found.values()) == set(model.spec.parts)


def test_layers_of_a_user_before_the_stem_are_no_part_of_it() -> None:
    image = keras.Input((16, 16, 3))
    before = keras.layers.Rescaling(2.0, name="stem_rescaling")(image)
    model = resnet("resnet8", input_tensor=before)
    assert model.parts["stem_rescaling"] == "head"
    assert model.parts["stem_conv1"] == "stem"


def test_rates_fall_from_part_to_part() -> None:
    """arXiv:1801.06146: the rate of a layer is that of the next one over 2.6."""
    model = network()
    rates = dict(
        zip((v.path for v in model.trainable_variables), transfer.rates(model, 0.5), strict=True)
    )
    assert rates["logits/kernel"] == 1
    assert rates["stage3_block1_conv2_bn/gamma"] == 0.5
    assert rates["stage1_block1_conv1/kernel"] == 0.125
    assert rates["stem_conv1/kernel"] == 0.0625
    assert set(transfer.rates(model, 1.0)) == {1.0}


def test_a_rate_is_a_share_of_the_update() -> None:
    alike, shared = network(), network()
    start = {v.path: v.numpy() for v in alike.trainable_variables}
    train(alike)
    train(shared, stage_rate=0.5)
    rates = transfer.rates(shared, 0.5)
    for one, other, rate in zip(
        alike.trainable_variables, shared.trainable_variables, rates, strict=True
    ):
        whole, part = one.numpy() - start[one.path], other.numpy() - start[other.path]
        np.testing.assert_allclose(part, rate * whole, rtol=1e-3, atol=1e-6)


def test_folded_statistics_stay_frozen() -> None:
    model = network()
    model.manifest = manifest(source={"name": "detectron2"})
    freeze(model, [])
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert not any(x.trainable for x in norms)
    assert all(x.trainable for x in model.layers if isinstance(x, keras.layers.Conv2D))


def test_frozen_layers_survive_a_keras_file(tmp_path) -> None:
    model = network()
    freeze(model, ["stem"])
    weights.save(model, tmp_path / "a.keras", manifest())
    again = keras.saving.load_model(tmp_path / "a.keras")
    assert not again.get_layer("stem_conv1_bn").trainable
    freeze(again, [])
    assert again.get_layer("stem_conv1_bn").trainable


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"freeze": ("stem",)}, ["init_weights", "'stem'"]),
        ({"preprocessing": "weights"}, ["init_weights", "'weights'"]),
        ({"init_weights": "a", "freeze": ("stage4",)}, ["stage3", "stage4"]),
        ({"init_weights": "a", "freeze_steps": 5}, ["freeze_steps=5"]),
        ({"init_weights": "a", "freeze": ("stem",), "freeze_steps": -1}, ["freeze_steps", "-1"]),
        ({"stage_rate": 0.0}, ["stage_rate", "0.0"]),
        ({"stage_rate": 1.5}, ["stage_rate", "1.5"]),
    ],
    ids=str,
)
def test_recipes_that_cannot_transfer_are_refused(changes, words) -> None:
    with pytest.raises(ValueError, match=words[0]) as caught:
        recipe(**changes)
    assert [word for word in words if word not in str(caught.value)] == []


def test_parts_are_frozen_for_a_while_or_for_good() -> None:
    row = recipe(init_weights="a", freeze=["stem"], freeze_steps=4)
    assert [row.frozen(step) for step in (1, 4, 5)] == [("stem",), ("stem",), ()]
    assert recipe(init_weights="a", freeze=["stem"]).frozen(10**6) == ("stem",)
    assert recipes.RECIPES["finetune"].frozen(1) == ("stem", "stage1", "stage2")
