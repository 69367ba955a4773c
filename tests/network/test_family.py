"""Every network of the family costs what its paper says, and can be built by name."""

import inspect

import keras
import numpy as np
import pytest

import keras_resnet
from keras_resnet import FAMILY, cost, family, resnet
from keras_resnet.family import PUBLISHED
from keras_resnet.models import builders
from tests.support import counting, goldens, helpers

GRADIENTS = "resnet1202"
UNITS = {"G": 1e9, "M": 1e6}


def rounded(multiply_adds: int, like: str) -> str:
    """Writes a number in the unit of a golden, with as many digits."""
    number, unit = like.split()
    decimals = len(number.partition(".")[2])
    return f"{multiply_adds / UNITS[unit]:.{decimals}f} {unit}"


# One of each kind is built and measured; the slow tests build all. Arithmetic counts every spec.
BUILT = (
    "resnet18",
    "resnet50",
    "resnet50_v1_5",
    "resnet50_v2",
    "resnet50_d",
    "wide_resnet50_2",
    "plain18",
    "resnet20",
    "plain20",
    "resnet20_v2",
)


def marked(network: str) -> object:
    return network if network in BUILT else pytest.param(network, marks=pytest.mark.slow)


def walked(network: str, **fields) -> counting.Count:
    """The cost of a network at its published size, by its spec alone."""
    return counting.walk(family.spec(network, **fields), *PUBLISHED[network])


def check_cost(model: keras.Model, network: str, shortcut: str | None) -> None:
    expected = counting.count(network, shortcut)
    measured = cost(model)
    assert measured.parameters == model.count_params() - sum(
        int(np.prod(weight.shape)) for weight in model.non_trainable_weights
    )
    for name in ("parameters", "multiply_adds", "additions", "convolutions"):
        assert getattr(measured, name) == getattr(expected, name), name


@pytest.mark.parametrize(
    "row", goldens.GOLDENS.values(), ids=lambda row: "-".join(map(str, row[:2]))
)
def test_the_arithmetic_of_these_tests_gives_the_published_numbers(row: goldens.Golden) -> None:
    counted = counting.count(row.network, row.shortcut)
    assert counted.parameters == row.parameters
    assert counted.additions == row.additions
    assert counted.convolutions == row.convolutions
    if row.multiply_adds is not None:
        assert rounded(counted.multiply_adds, row.multiply_adds) == row.multiply_adds


@pytest.mark.parametrize("network", [marked(name) for name in FAMILY if name != GRADIENTS])
def test_every_network_is_built_and_costs_what_the_papers_say(network: str) -> None:
    shortcut = default_shortcut(network)
    model = resnet(network)
    assert model.name == network
    check_cost(model, network, shortcut)


def default_shortcut(network: str) -> str | None:
    """The paper's: B for ImageNet, A for CIFAR; projections too where a bottleneck widens."""
    _, kind, depth, suffix = counting.parse(network)
    if kind == "plain":
        return None
    return "D" if suffix == "_d" else "A" if depth in goldens.CIFAR_BASIC else "B"


@pytest.mark.parametrize("network", FAMILY)
def test_every_spec_costs_what_the_papers_say(network: str) -> None:
    assert walked(network) == counting.count(network, default_shortcut(network))


OPTIONS = [key for key in goldens.GOLDENS if key[1] != default_shortcut(key[0])]


@pytest.mark.parametrize(("network", "shortcut"), OPTIONS)
def test_options_cost_what_the_paper_says(network: str, shortcut: str) -> None:
    assert walked(network, shortcut=shortcut) == counting.count(network, shortcut)


@pytest.mark.parametrize(
    ("network", "shortcut"), [option for option in OPTIONS if option[0] == "resnet18"]
)
def test_options_are_built_as_they_cost(network: str, shortcut: str) -> None:
    check_cost(resnet(network, shortcut=shortcut), network, shortcut)


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_option_b_on_cifar_adds_two_projections(depth: int) -> None:
    option_a = goldens.GOLDENS[f"resnet{depth}", "A"].parameters
    option_b = walked(f"resnet{depth}", shortcut="B").parameters
    assert option_b == option_a + goldens.CIFAR_OPTION_B_ADDS


@pytest.mark.slow
def test_1202_layers_are_built_and_learn() -> None:
    """One test, since the build alone takes 15 s."""
    model = resnet(GRADIENTS)
    check_cost(model, GRADIENTS, "A")
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    before = [model.layers[1].kernel.numpy(), model.get_layer("logits").kernel.numpy()]
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", run_eagerly=True)
    loss = model.train_on_batch(images, np.array([1, 2]))
    after = [model.layers[1].kernel.numpy(), model.get_layer("logits").kernel.numpy()]
    assert np.isfinite(loss)
    for old, new in zip(before, after, strict=True):
        assert np.isfinite(new).all()
        assert np.abs(new - old).max() > 0


@pytest.mark.parametrize(("depth", "flops"), goldens.PAPER_FLOPS.items())
def test_multiply_adds_are_those_of_table_1(depth: int, flops: float) -> None:
    option = "A" if depth < 50 else "B"
    assert counting.count(f"resnet{depth}", option).multiply_adds / 1e9 == pytest.approx(
        flops, abs=0.06
    )


@pytest.mark.parametrize(("depth", "millions"), goldens.PAPER_CIFAR_MILLIONS.items())
def test_parameters_are_those_of_table_6(depth: int, millions: float) -> None:
    parameters = goldens.GOLDENS[f"resnet{depth}", "A"].parameters / 1e6
    assert parameters == pytest.approx(millions, rel=0.03)


@pytest.mark.parametrize("network", FAMILY)
def test_a_name_says_the_depth(network: str) -> None:
    """Depth counts the stem, the branches and the classifier, not projections."""
    depth, spec = counting.parse(network)[2], FAMILY[network]
    assert 1 + sum(spec.repeats) * len(spec.branch) + 1 == depth


@pytest.mark.parametrize("network", FAMILY)
def test_every_network_has_a_builder(network: str) -> None:
    wide, kind, depth, suffix = counting.parse(network)
    word = {"resnet": "ResNet", "plain": "PlainNet"}[kind]
    suffixes = {"_v1_5": "V1_5", "_v2": "V2", "_d": "D", "_2": "_2", "": ""}
    public = f"{'Wide' * wide}{word}{depth}{suffixes[suffix]}"
    build = getattr(keras_resnet, public)
    assert build is getattr(builders, public)
    assert build.__name__ == public
    assert network in build.__doc__
    arguments = inspect.signature(build).parameters
    assert tuple(arguments)[:8] == goldens.BUILDER_ARGUMENTS
    assert arguments["weights"].default is None
    assert arguments["name"].default is None
    assert arguments["classes"].default is None
    published = (224, 1000) if depth in goldens.STAGES else (32, 10)
    assert PUBLISHED[network] == published


def test_only_public_names_are_shown() -> None:
    shown = dir(keras_resnet)
    modules = {"analysis", "manifest", "preprocessing", "rewrite", "transfer", "weights"}
    assert set(shown) == {*keras_resnet.__all__, *modules, "__version__"}
    assert {name for name in shown if inspect.ismodule(getattr(keras_resnet, name))} == modules
    assert set(shown) > set(builders.__all__)
    assert len(builders.__all__) == len(FAMILY)


def test_the_version_is_that_of_the_distribution() -> None:
    done = helpers.python("setup.py", "--version")
    assert done.stdout.split()[-1] == keras_resnet.__version__


def test_help_lists_the_arguments_that_there_are() -> None:
    """Those of `resnet` and the fields of the spec, as the network has them."""
    arguments = inspect.signature(keras_resnet.ResNet50V1_5).parameters
    assert arguments["stride_on"].default == "3x3"
    assert arguments["repeats"].default == (3, 4, 6, 3)
    assert {"source", "prefix", "preprocessing", "endpoints"} <= set(arguments)
    documented = inspect.getdoc(keras_resnet.ResNet50V1_5)
    assert documented.startswith(
        'Builds `resnet("resnet50_v1_5", ...)`.\n\nArgs:\n    include_top: '
    )
    with pytest.raises(TypeError, match="unknown argument stride"):
        keras_resnet.ResNet8(stride=2)
    with pytest.raises(TypeError, match="too many positional"):
        keras_resnet.ResNet8(*[None] * 9)


def test_builders_take_what_keras_applications_takes() -> None:
    theirs = inspect.signature(keras.applications.ResNet50).parameters
    ours = inspect.signature(keras_resnet.ResNet50).parameters
    assert tuple(theirs)[:8] == goldens.BUILDER_ARGUMENTS
    own = {"weights", "name", "classes", "classifier_activation"}
    for name in set(goldens.BUILDER_ARGUMENTS) - own:
        assert ours[name].default == theirs[name].default, name
    # That of the weights; of random ones it is theirs.
    assert ours["classifier_activation"].default == "auto"
    assert keras_resnet.ResNet8().layers[-1].activation is keras.activations.softmax


@pytest.mark.parametrize("network", ["resnet20", "resnet20_v2", "plain20"])
def test_builders_build_their_network(network: str) -> None:
    build = builders.builder(network)
    model = build(False, None, None, (16, 24, 1), "max", 7, None, "mine", zero_channels="around")
    assert model.name == "mine"
    assert model.input_shape == (None, 16, 24, 1)
    assert model.output_shape == (None, 64)
    assert [layer.name for layer in model.layers] == [
        layer.name
        for layer in resnet(
            network, include_top=False, input_shape=(16, 24, 1), pooling="max"
        ).layers
    ]


def test_the_builder_of_resnet50_is_the_papers_and_not_v1_5() -> None:
    """Where the stride stands is the only difference, and costs 231 million multiply-adds."""
    v1, v1_5 = (keras_resnet.ResNet50(stride_on=where) for where in ("first", "3x3"))
    for model, golden in ((v1, "resnet50"), (v1_5, "resnet50_v1_5")):
        expected = goldens.GOLDENS[golden, "B"].multiply_adds
        assert rounded(cost(model, (224, 224)).multiply_adds, expected) == expected


def test_cost_follows_the_size_of_the_image() -> None:
    model = resnet("resnet20", input_shape=(64, 32, 3))
    head = 64 * 10
    assert cost(model).multiply_adds - head == 2 * (cost(resnet("resnet20")).multiply_adds - head)
    assert cost(resnet("resnet20"), (64, 32)) == cost(model)


def test_cost_says_what_it_cannot_count() -> None:
    image = keras.Input((8, 8, 3))
    outputs = keras.layers.Conv2DTranspose(2, 3, name="up")(image)
    with pytest.raises(ValueError, match="up"):
        cost(keras.Model(image, keras.layers.PReLU(name="odd")(outputs)))
    with pytest.raises(ValueError, match=r"image_shape.*None"):
        cost(keras.models.clone_model(resnet("resnet20")))
