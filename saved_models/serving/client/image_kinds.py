"""Whether a file is an image, and of which kind, by its name and its first bytes.

This file exists twice, in `keras_resnet/preprocessing` and in `saved_models/serving/client`, which
runs without the library; a test compares the two. Standard library only.
"""

__all__ = ["HEAD", "READ", "SUFFIXES", "has_suffix", "hidden", "kind_of"]

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif")
# Left behind by operating systems, archives and file servers; compared in lower case.
LITTER = frozenset(
    [
        "#recycle",
        "$recycle.bin",
        "@eadir",
        "__macosx",
        "__pycache__",
        "desktop.ini",
        "ehthumbs.db",
        "lost+found",
        "system volume information",
        "thumbs.db",
    ]
)
READ = ("JPEG", "PNG", "WebP", "BMP", "GIF")  # kinds that can be decoded
HEAD = 512  # bytes at the beginning of a file that are enough for `kind_of`
BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # sizes in bytes; a BMP file has its own at byte 14
BRANDS = {  # at byte 8 of files with "ftyp" at byte 4
    "HEIC": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
    "AVIF": (b"avif", b"avis"),
}
STARTS = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL "),
    "JPEG 2000": (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
    "Photoshop": (b"8BPS",),
    "OpenEXR": (b"\x76\x2f\x31\x01",),
    "Radiance": (b"#?RADIANCE", b"#?RGBE"),
    "DDS": (b"DDS ",),
    "QOI": (b"qoif",),
    "icon": (b"\0\0\1\0",),
    "Netpbm": tuple(b"P%d%c" % (i, space) for i in range(1, 7) for space in b"\n \t\r"),
}


def hidden(name: str) -> bool:
    """Whether a file or folder is left out because of its name."""
    return name.startswith(".") or name.lower() in LITTER


def has_suffix(name: str) -> bool:
    """Whether the name of a file ends like that of an image."""
    return name.lower().endswith(SUFFIXES)


def kind_of(head: bytes) -> str:
    """Returns the kind of image that begins with these bytes, or "" for anything else."""
    for kind, starts in STARTS.items():
        if head.startswith(starts):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in BMP_HEADERS:
        return "BMP"
    if head[4:8] == b"ftyp":
        return next((kind for kind, brands in BRANDS.items() if head[8:12] in brands), "")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<svg") or (text.startswith((b"<?xml", b"<!--")) and b"<svg" in text):
        return "SVG"
    return ""
