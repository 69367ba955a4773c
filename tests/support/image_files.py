"""Image files built byte by byte, whose contents are known because they were put there."""

import struct
import zlib
from dataclasses import dataclass

import numpy as np

Random = np.random.Generator
# What a search for bytes would take for scans, ends, images, frames and texts.
LURES = (
    b"\xff\xda",
    b"\xff\xd9",
    b"\xff\xd8\xff",
    b"\xff\xc0\0\x11",
    b"\xff\xee\0\x0eAdobe",
    b"zTXt",
    b"iTXt",
    b"IEND",
)


def lures(random: Random, size: int) -> bytes:
    """Random bytes, every other one part of what looks like a marker or a chunk."""
    found = b""
    while len(found) < size:
        found += LURES[random.integers(len(LURES))] + random.bytes(int(random.integers(8)))
    return found[:size]


def segment(code: int, data: bytes) -> bytes:
    return bytes([0xFF, code]) + struct.pack(">H", len(data) + 2) + data


@dataclass(frozen=True)
class Skeleton:
    """The structure of a JPEG, without a picture: nothing in it can be decoded."""

    data: bytes
    segments: int
    scans: int
    adobe: bool


def skeleton(random: Random) -> Skeleton:
    """Metadata, scans whose numbers hold restarts, and a trailer; the first two in any number."""
    scans, adobe = int(random.integers(1, 20)), bool(random.integers(2))
    codes = [int(code) for code in random.choice([0xE0, 0xE1, 0xED, 0xFE, 0xDB], 6)]
    parts = [segment(code, lures(random, int(random.choice([0, 1, 70, 3000])))) for code in codes]
    if adobe:
        parts.insert(int(random.integers(len(parts))), segment(0xEE, b"Adobe\0\x64\0\0\0\0\0"))
    count = len(parts) + scans + 1  # with the end of the image
    for _ in range(scans):
        parts.append(segment(0xDA, lures(random, 10)))
        parts.append(entropy(random, int(random.choice([0, 50, 1000, 400_000], p=P_SIZES))))
    parts.append(b"\xff" * int(random.integers(3)) + b"\xff\xd9" + lures(random, 500))
    return Skeleton(b"\xff\xd8" + b"".join(parts), count, scans, adobe)


P_SIZES = [0.3, 0.3, 0.35, 0.05]


def entropy(random: Random, size: int) -> bytes:
    """Numbers of a scan: 0xff is followed by 0x00, but for restarts."""
    numbers = random.bytes(size).replace(b"\xff", b"\xff\0")
    restart = b"\xff" + bytes([0xD0 + int(random.integers(8))])
    return numbers + restart + numbers[: size // 3]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(rows: np.ndarray, width: int, depth: int, colour: int, *chunks: bytes) -> bytes:
    """A PNG of rows of bytes as they are stored, and chunks before them."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bmp(pixels: np.ndarray, bits: int, palette: np.ndarray, *, header: int = 40, **change) -> bytes:
    """A BMP of indices, or of blue, green, red (and a fourth byte), from the top down.

    `change` replaces what the header says: size of a palette, compression, place of the rows.
    """
    height, width = pixels.shape[:2]
    if bits <= 8:
        levels = np.unpackbits(pixels.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :]
        rows = np.packbits(levels.reshape(height, -1), axis=1)
    else:
        rows = pixels.astype(np.uint8).reshape(height, -1)
    rows = np.pad(rows, [(0, 0), (0, -rows.shape[1] % 4)])
    told = {"depth": bits, "compression": 0, "used": len(palette), "height": -height} | change
    offset = 14 + header + 4 * len(palette)
    return (
        struct.pack("<2sIII", b"BM", offset + rows.size, 0, offset)
        + struct.pack(
            "<IiiHHI", header, width, told["height"], 1, told["depth"], told["compression"]
        )
        + struct.pack("<IiiII", rows.size, 0, 0, told["used"], 0)
        + struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0)[: header - 40]  # masks
        + bytes(max(0, header - 56))
        + np.pad(palette.astype(np.uint8), [(0, 0), (0, 1)]).tobytes()
        + rows.tobytes()
    )
