"""Classes of data sets are found among the labels of a network by their names."""

import re

import pytest

from keras_resnet.labels import imagenet_labels, places

WNIDS, NAMES = (tuple(column) for column in zip(*imagenet_labels(), strict=True))
CASES = {
    "same": (("cat", "dog"), ("cat", "dog"), (0, 1)),
    "other order": (("cat", "dog"), ("dog", "cat"), (1, 0)),
    "subset": (("eel",), ("cat", "dog", "eel"), (2,)),
    "numbers by name": (("0", "1", "10", "2"), tuple(map(str, range(11))), (0, 1, 10, 2)),
    "ids of names": (("n02123045", "n01440764"), NAMES, (281, 0)),
    "names of ids": (("tench", "tabby"), WNIDS, (0, 281)),
    "ids of a few names": (("n02123045",), ("dog", "tabby"), (1,)),
    "all ids": (WNIDS, NAMES, tuple(range(1000))),
    "all names": (NAMES, WNIDS[::-1], tuple(range(999, -1, -1))),
    "both cranes by id": (("n02012849", "n03126707"), NAMES, (134, 517)),
}


@pytest.mark.parametrize("case", CASES)
def test_places(case):
    names, labels, expected = CASES[case]
    assert places(names, labels) == expected


REFUSED = {
    "unknown": (
        ("day", "night"),
        ("dark", "light"),
        "no class 'day', 'night'; its classes are 'dark', 'light'",
    ),
    "one of several": (("cat", "emu"), ("cat", "dog"), "no class 'emu'; its"),
    "case": (("Dog",), ("cat", "dog"), "no class 'Dog' ('Dog' and 'dog' differ only by case"),
    "accents": (("A\u0308pfel",), ("\u00c4pfel",), "differ only by case, or in how Unicode"),
    "two labels": (("crane", "tabby"), NAMES, "several classes called 'crane'"),
    "one label": (
        ("n02012849", "n03126707"),
        ("crane", "tabby"),
        "'n02012849', 'n03126707' are one class of the network, 'crane'",
    ),
    "many": (tuple("abcdefgh"), ("x", "y"), "'a', 'b', 'c', 'd', 'e' ... (8 in all)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_told_is_refused(case):
    names, labels, words = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(words)):
        places(names, labels)
