"""How blocks start and how they train: initializers, zero gamma, stochastic depth, dilation."""

import keras
import numpy as np
import pytest

from keras_resnet import resnet
from tests.support import variants
from tests.support.products import crossed
from tests.support.variants import BRANCHES, KINDS, NARROW, images

DRAWS = 4  # standard errors that a sample may differ by


def network(kind: str, branch: str, **fields) -> keras.Model:
    table = {**NARROW, "branch": BRANCHES[branch], "repeats": (2, 2, 2, 2), **KINDS[kind]}
    return resnet("resnet18", endpoints=True, **{**table, **fields})


@pytest.fixture(scope="module")
def start() -> keras.Model:
    """Two bottleneck stages of the paper's width, as they start."""
    keras.utils.set_random_seed(3)
    return resnet("resnet50", repeats=(1, 2))


@pytest.mark.parametrize(
    ("layer", "fan_out"),
    [
        ("stem_conv1", 7 * 7 * 64),
        ("stage1_block1_conv1", 64),
        ("stage1_block1_conv2", 3 * 3 * 64),
        ("stage1_block1_conv3", 256),
        ("stage1_block1_shortcut_conv", 256),
        ("stage2_block1_conv1", 128),
        ("stage2_block2_conv2", 3 * 3 * 128),
    ],
)
def test_kernels_start_as_he_et_al_say(start: keras.Model, layer: str, fan_out: int) -> None:
    """arXiv:1502.01852, eq. 14: normal, deviation sqrt(2 / (k*k*filters)), nothing cut off."""
    kernel = start.get_layer(layer).kernel.numpy() / np.sqrt(2 / fan_out)
    assert abs(kernel.mean()) < DRAWS / np.sqrt(kernel.size)
    assert kernel.std() == pytest.approx(1, abs=DRAWS / np.sqrt(2 * kernel.size))
    beyond = np.mean(np.abs(kernel) > 2.4)  # P(|x| > 2.4) = 0.0164; truncation ends at 2.27
    assert beyond == pytest.approx(0.0164, abs=DRAWS * np.sqrt(0.0164 / kernel.size))


def test_the_classifier_starts_without_the_gain_of_relu(start: keras.Model) -> None:
    """arXiv:1502.01852, section 2.2: half the variance where no ReLU follows."""
    logits = start.get_layer("logits")
    kernel = logits.kernel.numpy() * np.sqrt(logits.kernel.shape[0])
    assert kernel.std() == pytest.approx(1, abs=DRAWS / np.sqrt(2 * kernel.size))
    assert not logits.bias.numpy().any()


def test_another_seed_starts_elsewhere_and_the_same_seed_there() -> None:
    first = {}
    for seed in (1, 2, 1):
        keras.utils.set_random_seed(seed)
        kernel = resnet("resnet20", repeats=(1, 1, 1)).get_layer("stem_conv1").kernel.numpy()
        if seed in first:
            np.testing.assert_array_equal(kernel, first[seed])
        first[seed] = kernel
    assert np.abs(first[1] - first[2]).min() > 0


@crossed("kind,shortcut,branch", ["v1", "v1.5", "deep", "cifar"], "ABCD", BRANCHES)
def test_zero_gamma_starts_each_block_as_its_shortcut(
    kind: str, branch: str, shortcut: str
) -> None:
    """arXiv:1706.02677, section 5.1: a block whose branch gives 0 is its shortcut."""
    model = network(kind, branch, shortcut=shortcut, zero_gamma=True)
    adds = [layer for layer in model.layers if layer.name.endswith("_add")]
    assert len(adds) == 8
    paths = keras.Model(model.input, [[*layer.input, layer.output] for layer in adds])
    for training in (False, True):
        for around, branched, total in paths(images(2, 32, 32, 3), training=training):
            assert not np.any(branched)
            assert np.any(around)
            np.testing.assert_array_equal(around, total)


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("zero_gamma", [True, False])
def test_zero_gamma_is_of_the_last_bn_alone(branch: str, zero_gamma: bool) -> None:
    model = network("v1", branch, zero_gamma=zero_gamma)
    last = f"_conv{len(BRANCHES[branch])}_bn"
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            zero = zero_gamma and layer.name.endswith(last) and "shortcut" not in layer.name
            assert (layer.gamma.numpy() == (0 if zero else 1)).all(), layer.name


@crossed("kind,branch", ["v1", "v1.5", "v2", "deep"], BRANCHES)
def test_stochastic_depth_is_linear_and_an_identity_at_inference(kind: str, branch: str) -> None:
    """arXiv:1603.09382, eq. 4: the l-th of L branches is dropped with l / L of the last rate."""
    model = network(kind, branch, stochastic_depth=0.4)
    drops = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    adds = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
    assert [layer.rate for layer in drops] == pytest.approx([0.4 * k / 8 for k in range(1, 9)])
    for drop, add in zip(drops, adds, strict=True):
        assert any(source is drop.output for source in add.input)
    certain = network(kind, branch)
    variants.randomize(certain)
    variants.copy(certain, model)
    x = images(2, 32, 32, 3)
    np.testing.assert_array_equal(model(x)["stage4"], certain(x)["stage4"])


def test_stochastic_depth_drops_whole_branches_of_single_examples() -> None:
    model = network("v1", "basic", stochastic_depth=0.5)
    drop = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)][-1]
    branch = images(400, 2, 2, 3)
    ratio = np.asarray(drop(branch, training=True)) / branch
    kept = ratio[:, 0, 0, 0] != 0
    # What is kept is scaled to keep the expectation, so that inference needs no change.
    expected = np.where(kept, 2.0, 0.0)[:, None, None, None]
    np.testing.assert_allclose(ratio, np.broadcast_to(expected, ratio.shape), rtol=1e-5)
    assert kept.mean() == pytest.approx(0.5, abs=0.1)


@crossed("kind,shortcut,branch", ["v1", "v1.5", "v2", "deep"], ["B", "A", None], BRANCHES)
def test_a_network_that_dilates_sees_what_one_that_strides_sees(
    kind: str, branch: str, shortcut: str | None
) -> None:
    """The algorithme à trous (arXiv:1412.7062): every pixel of the one is one of the other."""
    strides = network(kind, branch, shortcut=shortcut, repeats=(1, 1, 2, 2))
    variants.randomize(strides)
    for output_stride in (4, 8, 16):
        dilates = network(
            kind, branch, shortcut=shortcut, repeats=(1, 1, 2, 2), output_stride=output_stride
        )
        variants.copy(strides, dilates)
        for size in ((64, 64), (65, 79)):
            compare_grids(strides, dilates, output_stride, size)


def compare_grids(
    strides: keras.Model, dilates: keras.Model, output_stride: int, size: tuple[int, int]
) -> None:
    x = images(1, *size, 3)
    found, expected = dilates(x), strides(x)
    for stage, stride in enumerate((4, 8, 16, 32), 1):
        name, step = f"stage{stage}", max(1, stride // output_stride)
        sides = [-(-side // min(stride, output_stride)) for side in size]
        assert found[name].shape[1:3] == tuple(sides)
        largest = np.abs(expected[name]).max()
        difference = np.abs(found[name][:, ::step, ::step] - expected[name]).max()
        assert difference < 2e-5 * largest


@pytest.mark.parametrize("branch", BRANCHES)
def test_the_first_dilated_stage_of_d_sees_what_a_stride_sees(branch: str) -> None:
    """Later ones do not, in timm neither: the pooled shortcut keeps its neighbours close."""
    strides = network("deep", branch, shortcut="D")
    dilates = network("deep", branch, shortcut="D", output_stride=16)
    variants.randomize(strides)
    variants.copy(strides, dilates)
    x = images(1, 65, 96, 3)
    found, expected = dilates(x)["stage4"], strides(x)["stage4"]
    assert found.shape[1:3] == (5, 6)
    largest = np.abs(expected).max()
    np.testing.assert_allclose(found[:, ::2, ::2], expected, atol=2e-5 * largest, rtol=0)


@pytest.mark.parametrize(
    ("output_stride", "sides"),
    [(8, (28, 28, 28)), (16, (28, 14, 14)), (32, (28, 14, 7)), (4, (56, 56, 56))],
)
def test_maps_of_dilated_networks_are_as_large_as_torchvisions(
    output_stride: int, sides: tuple[int, ...]
) -> None:
    """replace_stride_with_dilation=(False, True, True) gives layer4 28 pixels a side."""
    model = network("v1.5", "bottleneck", output_stride=output_stride)
    shapes = model.compute_output_shape((1, 224, 224, 3))
    assert tuple(shapes[f"stage{i}"][1] for i in (2, 3, 4)) == sides


def test_dilations_double_where_strides_would_and_first_after_the_stride() -> None:
    """torchvision: with stride 8 layer3 dilates by 1, 2, ... and layer4 by 2, 4, ..."""
    model = resnet("resnet50_v1_5", output_stride=8)
    dilations = {
        stage: [
            layer.dilation_rate[0]
            for layer in model.layers
            if layer.name.startswith(f"stage{stage}_") and layer.name.endswith("_conv2")
        ]
        for stage in (1, 2, 3, 4)
    }
    assert dilations == {1: [1] * 3, 2: [1] * 4, 3: [1] + [2] * 5, 4: [2, 4, 4]}
