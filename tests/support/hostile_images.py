"""Images that nobody should send: each function returns bytes, told by a random generator."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from tests.support.image_files import chunk

Random = np.random.Generator
FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 2**25  # what an export takes


def noise(random: Random, height: int, width: int, channels: int = 3) -> Image.Image:
    pixels = random.integers(0, 256, (height, width, channels)).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def small(random: Random, kinds: tuple[str, ...] = FORMATS) -> bytes:
    height, width = random.integers(1, 80, 2)
    return encode(noise(random, height, width), str(random.choice(kinds)))


def png(width: int, height: int, *between: bytes, data: bytes = b"", depth: int = 8) -> bytes:
    """A PNG of greys: its header, chunks, and the data of its pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    data = data or zlib.compress(bytes(1 + width) * height)
    body = (chunk(b"IHDR", header), *between, chunk(b"IDAT", data), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


# No images.
def empty(random: Random) -> bytes:
    return b""


def random_bytes(random: Random) -> bytes:
    return random.bytes(int(random.integers(1, 3000)))


def random_after_signature(random: Random) -> bytes:
    signatures = (
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"RIFF\x40\0\0\0WEBPVP8 ",
        b"RIFF\x40\0\0\0WEBPVP8L",
        b"RIFF\x40\0\0\0WEBPVP8X",
        b"GIF89a",
    )
    return signatures[random.integers(len(signatures))] + random_bytes(random)


def text(random: Random) -> bytes:
    return b"<svg xmlns='http://www.w3.org/2000/svg'/>" * int(random.integers(1, 9))


def other_format(random: Random) -> bytes:
    kinds = ("GIF", "BMP", "TIFF", "ICO", "PPM")
    return encode(noise(random, 20, 30), str(random.choice(kinds)))


def gif_of_many_frames(random: Random) -> bytes:
    frames = [noise(random, 4, 4, 1) for _ in range(int(random.integers(2, 120)))]
    return encode(frames[0], "GIF", save_all=True, append_images=frames[1:])


def moving_webp(random: Random) -> bytes:
    frames = [noise(random, 8, 8) for _ in range(3)]
    return encode(frames[0], "WEBP", save_all=True, append_images=frames[1:])


def moving_webp_that_hides(random: Random) -> bytes:
    """Its frames are there, and its header says that it does not move."""
    image = bytearray(moving_webp(random))
    image[20] &= 0xFD
    return bytes(image)


# Images that were damaged.
def truncated(random: Random) -> bytes:
    whole = small(random, (*FORMATS, "GIF"))
    return whole[: random.integers(len(whole))]


def mutated(random: Random) -> bytes:
    image = np.frombuffer(small(random, (*FORMATS, "GIF")), np.uint8).copy()
    places = random.integers(0, len(image), random.integers(1, 9))
    image[places] = random.integers(0, 256, len(places))
    return image.tobytes()


def header_mutated(random: Random) -> bytes:
    image = np.frombuffer(small(random), np.uint8).copy()
    places = random.integers(0, min(len(image), 40), random.integers(1, 4))
    image[places] = random.integers(0, 256, len(places))
    return image.tobytes()


def spliced(random: Random) -> bytes:
    first, second = small(random), small(random)
    return first[: random.integers(len(first))] + second[random.integers(len(second)) :]


def followed_by_garbage(random: Random) -> bytes:
    return small(random) + random_bytes(random)


# Images that ask for more than they are worth.
def declared(random: Random) -> bytes:
    """A PNG of a hundred bytes that declares up to 2**62 pixels."""
    width, height = (int(2 ** random.uniform(13, 31)) for _ in range(2))
    return png(width, height, data=zlib.compress(b"\0" * 99))


def declared_jpeg(random: Random) -> bytes:
    image = bytearray(encode(noise(random, 8, 8), "JPEG"))
    place = image.index(b"\xff\xc0") + 5
    image[place : place + 4] = struct.pack(">HH", *random.integers(6000, 65536, 2))
    return bytes(image)


def declared_webp(random: Random) -> bytes:
    image = bytearray(encode(noise(random, 8, 8), "WEBP"))
    image[26:30] = struct.pack("<HH", *random.integers(6000, 16384, 2))
    return bytes(image)


def declared_webp_lossless(random: Random) -> bytes:
    image = bytearray(encode(noise(random, 8, 8), "WEBP", lossless=True))
    width, height = (int(size) for size in random.integers(6000, 16384, 2))
    image[21:25] = struct.pack("<I", (width - 1) | (height - 1) << 14)
    return bytes(image)


def webp_canvas_that_lies(random: Random) -> bytes:
    """The canvas is small, the frame inside large, or the other way round."""
    inner = (declared_webp if random.integers(2) else declared_webp_lossless)(random)[12:]
    canvas = struct.pack("<I", 0) + b"\x07\0\0\x07\0\0"
    body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas + inner
    return b"RIFF" + struct.pack("<I", len(body)) + body


def zlib_bomb(random: Random) -> bytes:
    """A small PNG whose data inflate to far more than its pixels."""
    return png(8, 8, data=zlib.compress(bytes(2**24), 9))


def text_bomb(random: Random) -> bytes:
    """A PNG with texts that inflate to megabytes each."""
    data = b"key\0\0" + zlib.compress(bytes(2**22), 9)
    return png(8, 8, *[chunk(b"zTXt", data)] * int(random.integers(1, 4)))


def profile_bomb(random: Random) -> bytes:
    return png(8, 8, chunk(b"iCCP", b"key\0\0" + zlib.compress(bytes(2**24), 9)))


def jpeg_of_many_scans(random: Random) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    image = encode(noise(random, 16, 16), "JPEG", progressive=True)
    scan = image[image.rindex(b"\xff\xda") : -2]
    return image[:-2] + scan * int(random.integers(101, 1000)) + image[-2:]


def jpeg_of_tiny_segments(random: Random) -> bytes:
    """A hundred thousand segments, with nothing in them or with a length of nothing."""
    image = encode(noise(random, 16, 16), "JPEG")
    segment = b"\xff\xe1\0" + bytes([random.integers(3)])
    lures = b"\xff\xda" * 200  # that a count would take for scans
    return image[:2] + segment * 100_000 + b"\xff\xfe\x01\x92" + lures + image[2:]


# Whole images, if uncommon ones.
def pixel(random: Random) -> bytes:
    return encode(noise(random, 1, 1), str(random.choice(FORMATS)))


def wide(random: Random) -> bytes:
    """30,000 pixels wide, and one to nine high, or the other way round."""
    height = int(random.integers(1, 10))
    shape = (height, 30_000) if random.integers(2) else (30_000, height)
    return encode(noise(random, *shape), str(random.choice(["PNG", "JPEG"])))


def grey(random: Random) -> bytes:
    return encode(noise(random, 30, 40, 1), str(random.choice(FORMATS[:2])))


def cmyk(random: Random) -> bytes:
    return encode(noise(random, 30, 40).convert("CMYK"), "JPEG")


def alpha(random: Random) -> bytes:
    return encode(noise(random, 30, 40, 4), str(random.choice(["PNG", "WEBP"])))


def sixteen_bits(random: Random) -> bytes:
    pixels = random.integers(0, 2**16, (30, 40)).astype(np.uint16)
    return encode(Image.fromarray(pixels), "PNG")


def palette(random: Random) -> bytes:
    return encode(noise(random, 30, 40).convert("P"), "PNG")


def one_bit(random: Random) -> bytes:
    return encode(noise(random, 30, 40, 1).convert("1"), "PNG")


def interlaced(random: Random) -> bytes:
    return encode(noise(random, 30, 40), "PNG", interlace=1)


def progressive(random: Random) -> bytes:
    return encode(noise(random, 30, 40), "JPEG", progressive=True)


def motion(random: Random) -> bytes:
    """With a video behind it, and the thumbnail of another picture in front."""
    image = encode(noise(random, 30, 40), "JPEG")
    thumbnail = encode(noise(random, 8, 8), "JPEG")
    size = (len(thumbnail) + 2).to_bytes(2, "big")
    return image[:2] + b"\xff\xe1" + size + thumbnail + image[2:] + random.bytes(2**20)


def large(random: Random) -> bytes:
    """As many pixels as are allowed, all black, in a few kilobytes."""
    kind = str(random.choice(FORMATS))
    return encode(Image.new("RGB", (5792, 5792)), kind, **({"quality": 1} if kind != "PNG" else {}))


Maker = Callable[[Random], bytes]
# What is told of them, whichever decoder tells it.
BROKEN: dict[Maker, str] = {
    empty: "not a JPEG, PNG or WebP",
    random_bytes: "not a JPEG, PNG or WebP",
    random_after_signature: "",
    text: "not a JPEG, PNG or WebP",
    other_format: "not a JPEG, PNG or WebP",
    gif_of_many_frames: "not a JPEG, PNG or WebP",
    moving_webp: "animated",
    moving_webp_that_hides: "WebP",
    declared: "pixels; at most 33554432 are allowed",
    declared_jpeg: "pixels; at most 33554432 are allowed",
    declared_webp: "pixels; at most 33554432 are allowed",
    declared_webp_lossless: "pixels; at most 33554432 are allowed",
    webp_canvas_that_lies: "WebP",
    jpeg_of_many_scans: "has more than 100 scans",
    jpeg_of_tiny_segments: "has more than 4096 segments",
}
DAMAGED: tuple[Maker, ...] = (
    truncated,
    mutated,
    header_mutated,
    spliced,
    followed_by_garbage,
    zlib_bomb,
    text_bomb,
    profile_bomb,
)
WHOLE: tuple[Maker, ...] = (
    pixel,
    wide,
    grey,
    cmyk,
    alpha,
    sixteen_bits,
    palette,
    one_bit,
    interlaced,
    progressive,
    motion,
)
