"""Pickles that are malformed, or well formed to exhaust a stack, a memory or a patience."""

import pytest

from tests.support import hostile, opcodes
from tests.support.opcodes import WAYS, call, deep, laughs, put, tensor, whole

RECURSE = {
    "value": deep(),
    "key": b"}" + deep() + put(1) + b"s",
    "list key": b"(" + deep() + put(1) + b"d",
    "size": b"}" + put("a") + tensor(deep(), (1,)) + b"s",
    "stride": b"}" + put("a") + tensor((1,), deep()) + b"s",
    "offset": b"}" + put("a") + tensor((1,), (1,), deep()) + b"s",
    "storage": b"}" + put("a") + tensor(of=deep()) + b"s",
    "id": deep() + b"Q",
    "storage name": b"("
    + put("storage")
    + b"ctorch\nFloatStorage\n"
    + deep()
    + put("cpu")
    + put(4)
    + b"tQ",
    "storage count": b"("
    + put("storage")
    + b"ctorch\nFloatStorage\n"
    + put("0")
    + put("cpu")
    + deep()
    + b"tQ",
    "module": deep() + put("a") + b"\x93",
    "name": put("a") + deep() + b"\x93",
    "called": deep() + b")R",
    "arguments": b"ctorch\nSize\n" + deep() + b"R",
    "attributes": b"}" + deep() + b"b",
    "items": call("collections", "OrderedDict", deep()),
    "dtype": call("numpy", "dtype", deep()),
    "order": call("numpy", "dtype", put("f4")) + put(1) + deep() + b"\x86b",
    "encoding": call("_codecs", "encode", put("a"), deep()),
    "array": call("numpy.core.multiarray", "_reconstruct")
    + b"("
    + put(1)
    + deep()
    + call("numpy", "dtype", put("f4"))
    + b"\x89"
    + put(b"")
    + b"tb",
}
BROKEN = {
    **{f"deep {name}": body for name, body in RECURSE.items()},
    **{f"laughs {name}": body.replace(deep(), laughs()) for name, body in RECURSE.items()},
    "high memo": b"}r\xff\xff\xff\xffj\xff\xff\xff\xff",
    "no memo": b"h\0",
    "text memo": b"}p-1\ng99999999999\n",
    "long bytes": b"\x8e" + b"\xff" * 7 + b"\x3f" + b"a",
    "long text": b"\x8d" + b"\0" * 5 + b"\1\0\0" + b"a",
    "long bytearray": b"\x96" + b"\0" * 5 + b"\1\0\0" + b"a",
    "bytes of 2 GB": b"B\xff\xff\xff\x7fa",
    "huge number": b"\x8b\xff\xff\xff\x7fa",
    "negative number": b"\x8b\xff\xff\xff\xffa",
    "huge frame": b"\x95" + b"\xff" * 8,
    "digits": b"I" + b"9" * 1_000_000 + b"\n",
    "long digits": b"L" + b"9" * 1_000_000 + b"L\n",
    "unknown opcode": b"\xff",
    "marks": b"(" * 100_000,
    "unopened": b"t",
    "odd items": b"}(" + put("a") + b"u",
    "no text": b"X\4\0\0\0\xff\xff\xff\xff",
    "list in itself": b"]q\0h\0a",
    "dictionary in itself": b"}q\0" + put("state_dict") + b"h\0s",
    "dimensions": b"}" + put("a") + tensor((2**62,) * 200_000, (1,) * 200_000) + b"s",
    "persistent": b"P0\n",
    **{
        f"underflow {op!r}": bytes([op])
        for op in b"0abdeloqRstuQ\x81\x85\x86\x87\x90\x91\x92\x93\x94"
    },
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> dict[tuple[str, str], hostile.Outcome]:
    folder, cases = tmp_path_factory.mktemp("broken"), []
    for i, (name, body) in enumerate(BROKEN.items()):
        for way, write in WAYS.items():
            file = write(folder / f"{i}{way}", whole(body))
            cases.append(hostile.case(file, "arrays", name=name, way=way))
    for way, write in WAYS.items():
        cut = {"no end": b"\x80\x02}", "empty": b"\x80\x02", "no opcode": b"\x80"}
        for name, content in cut.items():
            file = write(folder / f"{name}{way}", content)
            cases.append(hostile.case(file, "arrays", name=name, way=way))
    for name, keys in {
        "deep keys": b"](" + deep(1_000_000) + b"e",
        "laughing keys": laughs(),
    }.items():
        file = opcodes.legacy(folder / f"{name}.pth", whole(b"}"), keys)
        cases.append(hostile.case(file, "arrays", name=name, way="legacy.pth"))
    found = hostile.outcomes(folder, cases)
    return {(o.case["name"], o.case["way"]): o for o in found}


@pytest.mark.parametrize("name", [*BROKEN, "no end", "empty", "no opcode"])
def test_broken_pickles_break_nothing(name: str, broken) -> None:
    for way in WAYS:
        outcome = broken[name, way]
        assert not outcome.faults, str(outcome)


@pytest.mark.parametrize("name", ["deep keys", "laughing keys"])
def test_names_of_storages_are_texts(name: str, broken) -> None:
    outcome = broken[name, "legacy.pth"]
    assert outcome.kind == "ValueError", str(outcome)
    assert not outcome.faults, str(outcome)
