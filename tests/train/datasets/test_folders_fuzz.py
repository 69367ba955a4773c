"""Folders made at random of what people's folders hold: the right classes, or one clear line."""

import os
import random
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import helpers, trees
from train import datasets

POOL = [
    "cat",
    "Dog",
    "\u00c4pfel",
    "two words",
    "\u65e5\u672c",
    "0",
    "train",
    "val",
    "n01440764",
    "a.b",
    "CON",
    "x+y",
]
WORDS = {
    "train": ["train", "training", "Train", "TRAIN"],
    "test": ["test", "testing", "Test", "TEST"],
    "validation": ["val", "valid", "validation", "Val", "VALID", "dev"],
}
SUFFIXES = [".png", ".PNG", ".jpg", ".Jpeg", ".jfif", ".webp", ".bmp", ".gif", "", ".dat", ".tif"]
READABLE = ["PNG", "JPEG", "WEBP", "BMP", "GIF"]
Split = dict[str, set[bytes]]  # files by class


@dataclass
class Made:
    """A folder, what has to be found in it, or what has to be said of it."""

    root: Path
    chance: random.Random
    splits: dict[str, Split] = field(default_factory=dict)
    error: str = ""

    def classes(self, inside: str, names: list[str], count: tuple[int, int] = (2, 6)) -> Split:
        """Plants images of classes in a folder, some of them nested, and notes their names."""
        return {name: self._images(f"{inside}{name}", count) for name in names}

    def _images(self, place: str, count: tuple[int, int]) -> set[bytes]:
        found = set()
        for i in range(self.chance.randint(*count)):
            nested = self.chance.choice(["", "", f"{place.replace('/', '_')}{i}/", "deep/er/"])
            if place in ("train", "val"):  # with folders in them these might be splits
                nested = ""
            odd = self.chance.choice([b"", b"", b"caf\xe9", b"a b", b"\xe6\x97\xa5"])
            suffix = self.chance.choice(SUFFIXES)
            path = b"%s/%s%s%d%s" % (place.encode(), nested.encode(), odd, i, suffix.encode())
            trees.plant(self.root, [path], trees.picture(self.chance.choice(READABLE)))
            found.add(path)
        return found

    def litter(self) -> None:
        """Adds what is neither a class nor an image, to folders that hold images."""
        paths = [
            path for classes in self.splits.values() for found in classes.values() for path in found
        ]
        folders = {os.fsdecode(os.path.dirname(path)) for path in paths}  # noqa: PTH120
        places = sorted(folders | {""})
        for i in range(self.chance.randrange(8)):
            at = self.chance.choice(places)
            at = f"{at}/" if at else ""
            kind = self.chance.randrange(10)
            if kind < 4:
                name = [".hidden/x.png", "__MACOSX/a/b.png", "._0.png", "Thumbs.db"][kind]
                trees.plant(self.root, [at + name])
            elif kind < 6:
                trees.plant(self.root, [f"{at}notes{i}.txt"], b"BM is no bitmap")
            elif kind == 6:
                (self.root / f"{at}nothing{i}" / "below").mkdir(parents=True)
            elif kind == 7:
                trees.plant(self.root, [f"{at}scan{i}"], trees.picture("TIFF"))
            elif kind == 8:
                os.mkfifo(self.root / f"{at}pipe{i}.png")
            else:
                target = self.chance.choice(["/no/such/file", str(self.root)])
                (self.root / f"{at}link{i}").symlink_to(target)


def flat(made: Made) -> None:
    names = made.chance.sample(POOL, made.chance.randint(3, 6))
    whole = made.classes("", names, made.chance.choice([(2, 6), (2, 6), (20, 30), (1, 2)]))
    made.splits["test"] = {name: trees.held_out(files) for name, files in whole.items()}
    made.splits["train"] = {name: whole[name] - made.splits["test"][name] for name in names}
    if not all(made.splits["train"].values()):
        made.error = "no images are left to train on"


def split(made: Made) -> None:
    """Has splits in some spelling; classes may lack in the splits that are not trained on."""
    names = made.chance.sample(POOL, made.chance.randint(2, 5))
    both = ["train", "validation", "test"]
    others = [["test"], ["validation"]]
    kinds = made.chance.choice([both, both[:2], both[::2], *others])
    for kind in kinds:
        own = names if kind == kinds[0] else made.chance.sample(names, made.chance.randint(1, 2))
        place = made.chance.choice(WORDS[kind])
        found = made.classes(f"{place}/", own, (1, 4))
        missing: Split = {name: set() for name in names}
        made.splits[kind] = missing | found
    if "test" not in made.splits:
        made.splits["test"] = made.splits.pop("validation")


def broken(made: Made) -> None:
    """Does one thing wrong in a folder that is right otherwise."""
    names = made.chance.sample([name for name in POOL if name not in ("train", "val")], 3)
    wrong = made.chance.randrange(9)
    place = "train/" if wrong > 2 else ""
    made.classes(place, names[: 1 if wrong == 0 else 3])
    if wrong > 2:
        made.classes("test/", names[:2])
    extra: list[str | bytes] = [
        "",
        b"caf\xe9/1.png",
        b"n\xcc\x83/1.png",
        "test/unknown/1.png",
        f"test/{names[0].swapcase()}./1.png",
        "bus/1.png",
        "train/loose.png",
        "Testing/cat/1.png",
        "val/1.png",
    ][wrong : wrong + 1]
    if wrong == 2:
        extra += [b"\xc3\xb1/1.png"]
    if wrong:
        trees.plant(made.root, extra)
    made.error = [
        "one class",
        "is not UTF-8",
        "look the same",
        "'unknown'",
        "training lacks",
        "images in bus/",
        "train/loose.png",
        "both the test split",
        "in no folder of a class",
    ][wrong]


def make(root: Path, seed: int) -> Made:
    made = Made(root, random.Random(seed))
    made.chance.choice([flat, flat, split, split, broken])(made)
    made.litter()
    return made


def check(made: Made) -> None:
    if made.error:
        with pytest.raises(ValueError, match=re.escape(made.error)) as caught:
            datasets.load("folder", "train", str(made.root))
        assert len(str(caught.value).splitlines()) == 1
        assert str(caught.value).isprintable()
        return
    for name, expected in made.splits.items():
        examples = datasets.load("folder", name, str(made.root))
        assert examples.labels == tuple(sorted(expected))
        found: Split = {label: set() for label in expected}
        for i, file in enumerate(examples.listing):
            image, label = examples.decode(i)
            assert image.shape == (8, 8, 3)
            found[examples.labels[int(label)]].add(file)
        assert found == expected
        assert all(line.isprintable() for line in examples.found)
    for name in {"train", "test"} - made.splits.keys():
        with pytest.raises(ValueError, match=f"but no {name}/"):
            datasets.load("folder", name, str(made.root))


FAST = 10
ALL = 200


def test_ten_folders(tmp_path):
    for seed in range(FAST):
        check(make(tmp_path / str(seed), seed))


@pytest.mark.slow
def test_many_folders(tmp_path):
    errors = []
    for seed in range(FAST, ALL):
        made = make(tmp_path / str(seed), seed)
        check(made)
        errors.append(made.error)
    assert len(set(errors)) >= 10  # each way to be wrong, and to be right
    assert errors.count("") > ALL // 3


def test_commands_end_soon_after_their_error(tmp_path):
    """In processes of their own, with the pipes and links that would hold a reader up."""
    cases = []
    expected = []
    for seed in range(40):
        made = make(tmp_path / str(seed), seed)
        if made.error and made.error not in expected and len(expected) < 5:
            place = [f"--data_dir={made.root}", f"--workdir={tmp_path}/run{seed}"]
            cases.append(
                [
                    "train",
                    "--recipe=finetune",
                    "--network=resnet8",
                    "--dataset=folder",
                    "--preprocessing=tf",
                    *place,
                ]
            )
            expected.append(made.error)
    for case, words in zip(cases, expected, strict=True):
        since = time.monotonic()
        done = helpers.module(*case)
        assert time.monotonic() - since < 30
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert re.search(f"^error: .*{re.escape(words)}", done.stderr, re.MULTILINE)
