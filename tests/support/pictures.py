"""A picture of each kind that files can hold, and the pixels that are to be seen of it."""

import io

import numpy as np
from PIL import Image

from tests.support import image_files

SIDE = 16
LEVELS = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 4)).astype(np.uint8)
DEEP = np.random.default_rng(1).integers(0, 2**16, (SIDE, SIDE, 4)).astype(np.uint16)
RGBA, RGB, GREY = (Image.fromarray(LEVELS[..., part]) for part in (slice(4), slice(3), 0))
PALETTE = LEVELS.reshape(-1, 4)[:, :3]
SMOOTH = Image.fromarray(LEVELS[:4, :4, :3]).resize((SIDE, SIDE))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def deep(channels: int, colour: int) -> bytes:
    """A PNG of 16 bits."""
    rows = DEEP[..., :channels].astype(">u2").reshape(SIDE, -1).view(np.uint8)
    return image_files.png(rows, SIDE, 16, colour)


def bitmap(bits: int) -> bytes:
    if bits <= 8:
        return image_files.bmp(LEVELS[..., 0] & (2**bits - 1), bits, PALETTE[: 2**bits])
    pixels = LEVELS[..., [2, 1, 0, 3][: bits // 8]]
    return image_files.bmp(pixels, bits, PALETTE[:0])


def ycck() -> bytes:
    data = bytearray(encoded(Image.fromarray(LEVELS, "CMYK").resize((SIDE, SIDE)), "JPEG"))
    data[data.index(b"Adobe") + 11] = 2
    return bytes(data)


def pillow(data: bytes) -> np.ndarray:
    """RGB by Pillow, which wants to see alphas of palettes before they are dropped."""
    image = Image.open(io.BytesIO(data))
    image = image.convert("RGBA") if "transparency" in image.info else image
    return np.asarray(image.convert("RGB"))


def upper(channels: int) -> np.ndarray:
    """RGB of the upper eight of sixteen bits, without alpha."""
    shown = (DEEP >> 8).astype(np.uint8)
    return np.repeat(shown[..., :1], 3, -1) if channels < 3 else shown[..., :3]


ALPHAS = bytes([0, 15, 255, 3, 1, 128])
FILES: dict[str, bytes] = {
    "L.png": encoded(GREY, "PNG"),
    "LA.png": encoded(Image.merge("LA", [GREY, RGBA.getchannel("A")]), "PNG"),
    "P.png": encoded(RGB.quantize(), "PNG"),
    "P_4_bits.png": encoded(RGB.quantize(9), "PNG"),
    "P_transparency.png": encoded(RGB.quantize(9), "PNG", transparency=ALPHAS),
    "1.png": encoded(GREY.convert("1"), "PNG"),
    "RGB.png": encoded(RGB, "PNG"),
    "RGB_transparency.png": encoded(RGB, "PNG", transparency=tuple(LEVELS[0, 0, :3].tolist())),
    "RGBA.png": encoded(RGBA, "PNG"),
    "RGB.jpg": encoded(SMOOTH, "JPEG"),
    "progressive.jpg": encoded(SMOOTH, "JPEG", progressive=True),
    "L.jpg": encoded(SMOOTH.convert("L"), "JPEG"),
    "lossless.webp": encoded(RGB, "WEBP", lossless=True),
    "lossy.webp": encoded(SMOOTH, "WEBP"),
    "alpha.webp": encoded(RGBA, "WEBP", lossless=True, exact=True),
    "RGB.gif": encoded(RGB.quantize(), "GIF"),
    "L.gif": encoded(GREY, "GIF"),
    **{f"{bits}_bits.bmp": bitmap(bits) for bits in (1, 4, 8, 24, 32)},
    "Pillow_1.bmp": encoded(GREY.convert("1"), "BMP"),
    "Pillow_P.bmp": encoded(RGB.quantize(), "BMP"),
}
PIXELS = {name: pillow(data) for name, data in FILES.items()}
INKS = {
    "CMYK.jpg": encoded(Image.fromarray(LEVELS, "CMYK"), "JPEG"),
    "YCCK.jpg": ycck(),
}
PIXELS |= {name: pillow(data) for name, data in INKS.items()}
SIXTEEN = {
    "L_16.png": deep(1, 0),
    "LA_16.png": deep(2, 4),
    "RGB_16.png": deep(3, 2),
    "RGBA_16.png": deep(4, 6),
}
PIXELS |= {name: upper(i + 1) for i, name in enumerate(SIXTEEN)}
FILES |= INKS | SIXTEEN
NO_FORMAT = "the file is not a JPEG, PNG, WebP, BMP or GIF"
# What cannot be read, and the reason that is told.
REFUSED: dict[str, tuple[bytes, str]] = {
    "16_bits.bmp": (
        image_files.bmp(LEVELS[..., :2], 16, PALETTE[:0]),
        "a BMP has 16 bits per pixel; supported are 1, 4, 8, 24 and 32",
    ),
    "packed.bmp": (
        image_files.bmp(LEVELS[..., 0], 8, PALETTE, compression=1),
        "a BMP has compression 1; only uncompressed is supported",
    ),
    "short.bmp": (bitmap(24)[:-9], "a BMP of 16x16 pixels is truncated"),
    "tiff.png": (encoded(RGB, "TIFF"), NO_FORMAT),
    "empty.png": (b"", NO_FORMAT),
    "text.jpg": (b"hello", NO_FORMAT),
    "animated.webp": (encoded(RGB, "WEBP", save_all=True, append_images=[SMOOTH]), "animat"),
    "half.png": (FILES["RGB.png"][:300], ""),
    "half.jpg": (FILES["RGB.jpg"][:500], ""),
    "half.webp": (FILES["lossless.webp"][:200], ""),
    "half.gif": (FILES["RGB.gif"][:500], ""),
}
