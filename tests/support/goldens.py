"""Numbers from elsewhere, each with its source; none was computed by this package."""

from typing import NamedTuple


class Golden(NamedTuple):
    """The published cost of one network for one image."""

    network: str
    shortcut: str | None  # the option of arXiv:1512.03385, section 3.3
    parameters: int
    multiply_adds: str | None  # in the unit and to the digits of the source
    additions: int  # one a block, none in a plain network
    convolutions: int


# arXiv:1512.03385, table 1 and section 4.1; parameters are those of torchvision's `num_params`
# where it has the network; multiply-adds are those of its convolutions and classifier.
IMAGENET = (
    Golden("resnet18", "A", 11_515_688, "1.795 G", 8, 17),
    Golden("resnet18", "B", 11_689_512, "1.814 G", 8, 20),
    Golden("resnet18", "C", 12_043_816, "1.878 G", 8, 25),
    Golden("resnet34", "A", 21_623_848, "3.644 G", 16, 33),
    Golden("resnet34", "B", 21_797_672, "3.664 G", 16, 36),
    Golden("resnet34", "C", 22_716_840, "3.831 G", 16, 49),
    Golden("resnet50", "B", 25_557_032, "3.858 G", 16, 53),
    Golden("resnet101", "B", 44_549_160, "7.570 G", 33, 104),
    Golden("resnet152", "B", 60_192_808, "11.282 G", 50, 155),
    Golden("resnet50_v1_5", "B", 25_557_032, "4.089 G", 16, 53),
    Golden("resnet101_v1_5", "B", 44_549_160, "7.801 G", 33, 104),
    Golden("resnet152_v1_5", "B", 60_192_808, "11.514 G", 50, 155),
    Golden("plain18", None, 11_515_688, "1.795 G", 0, 17),
    Golden("plain34", None, 21_623_848, "3.644 G", 0, 33),
    # timm (D) and torchvision (wide); v2 and 200 from the papers' tables by arithmetic.
    Golden("resnet50_d", "D", 25_576_264, "4.329 G", 16, 55),
    Golden("resnet50_v2", "B", 25_549_352, "4.089 G", 16, 53),
    Golden("resnet200_v1_5", "B", 64_673_832, None, 66, 203),
    Golden("wide_resnet50_2", "B", 68_883_240, "11.398 G", 16, 53),
    Golden("wide_resnet101_2", "B", 126_886_696, "22.753 G", 33, 104),
)

# The same source; arXiv:1512.03385, section 4.2 has 6n + 2 weighted layers, table 6 the millions.
CIFAR = (
    Golden("resnet20", "A", 269_722, "40.6 M", 9, 19),
    Golden("resnet32", "A", 464_154, "68.9 M", 15, 31),
    Golden("resnet44", "A", 658_586, "97.2 M", 21, 43),
    Golden("resnet56", "A", 853_018, "125.5 M", 27, 55),
    Golden("resnet110", "A", 1_727_962, "252.9 M", 54, 109),
    Golden("resnet1202", "A", 19_421_274, "2829 M", 600, 1201),
    # arXiv:1603.05027: three convolutions a block, and one projection a stage.
    Golden("resnet164_v2", "B", 1_703_258, "244.5 M", 54, 166),
    Golden("resnet1001_v2", "B", 10_327_706, None, 333, 1003),
)
# Option B projects 16 to 32 and 32 to 64 channels: 16*32 + 32*64 + 2*(32 + 64).
CIFAR_OPTION_B_ADDS = 2_752
GOLDENS = {(row.network, row.shortcut): row for row in IMAGENET + CIFAR}

# arXiv:1512.03385, table 1: FLOPs of one 224 x 224 image, in units of 1e9. The paper counts
# somewhat less than convolutions and classifier take; v1.5 is not what it describes.
PAPER_FLOPS = {18: 1.8, 34: 3.6, 50: 3.8, 101: 7.6, 152: 11.3}
# arXiv:1512.03385, table 6: millions of parameters.
PAPER_CIFAR_MILLIONS = {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7, 1202: 19.4}

# arXiv:1512.03385, table 1, and arXiv:1603.05027, table 5 with facebookarchive/fb.resnet.torch
# (200): blocks in conv2_x ... conv5_x, and convolutions in a block.
STAGES = {
    18: ((2, 2, 2, 2), 2),
    34: ((3, 4, 6, 3), 2),
    50: ((3, 4, 6, 3), 3),
    101: ((3, 4, 23, 3), 3),
    152: ((3, 8, 36, 3), 3),
    200: ((3, 24, 36, 3), 3),
}
# arXiv:1512.03385, section 4.2: depth 6n + 2; arXiv:1603.05027, section 3: 9n + 2.
# (8: MLPerf Tiny's, arXiv:2106.07597.)
CIFAR_BASIC = {8: 1, 20: 3, 32: 5, 44: 7, 56: 9, 110: 18, 1202: 200}
CIFAR_BOTTLENECK = {164: 18, 1001: 111}

# keras.applications.ResNet50, Keras 3.15.1; `weights` is None here, as no file comes along, and
# `classes` too: as many as the weights have, or else the network.
BUILDER_ARGUMENTS = (
    "include_top",
    "weights",
    "input_tensor",
    "input_shape",
    "pooling",
    "classes",
    "classifier_activation",
    "name",
)

# ILSVRC 2012 in the order of every published network (keras.applications
# imagenet_class_index.json, torchvision meta["categories"]).
IMAGENET_LABELS = {
    0: ("n01440764", "tench"),
    1: ("n01443537", "goldfish"),
    65: ("n01751748", "sea_snake"),
    207: ("n02099601", "golden_retriever"),
    281: ("n02123045", "tabby"),
    340: ("n02391049", "zebra"),
    388: ("n02510455", "giant_panda"),
    817: ("n04285008", "sports_car"),
    954: ("n07753592", "banana"),
    999: ("n15075141", "toilet_tissue"),
}
