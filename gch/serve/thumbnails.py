"""Pictures of the collection as a browser shows them."""

import io
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps

from gch.data.pictures import MAX_FILE_BYTES, MAX_PIXELS, decode_picture
from gch.errors import DataError

SIZES = (160, 240, 480, 960)
TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "PPM": "image/x-portable-anymap",
}
_QUALITY = 82  # of WebP
_DEEP = ("I", "F")  # starts of the modes that hold more than 8 bits


class Picture(NamedTuple):
    """Attributes:
    content: the bytes of a file.
    type: its media type.
    """

    content: bytes
    type: str


def media_type(path: Path) -> str:
    """The media type of a picture file, by its content.

    Raises:
      DataError: it is gone, or no picture of these formats.
    """
    try:
        _require_file(path)
        with Image.open(path, formats=tuple(TYPES)) as image:
            return TYPES[image.format]
    except DataError:
        raise
    except Exception as error:  # Pillow raises a dozen types on broken bytes.
        raise DataError("no picture that can be read any more") from error


def thumbnail(path: Path, longest: int) -> Picture:
    """A picture file, upright, on white, and scaled down so that its long side has `longest` pixels at most.

    Raises:
      DataError: it is gone, too large, or no whole picture.
    """
    try:
        _require_file(path)
        with Image.open(path, formats=tuple(TYPES)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError("too large")
            image.draft("RGB", (longest, longest))
            small = _deep(path, longest) if image.mode.startswith(_DEEP) else _on_white(image, longest)
    except DataError:
        raise
    except Exception as error:
        raise DataError("no picture that can be read any more") from error
    content = io.BytesIO()
    small.save(content, "WEBP", quality=_QUALITY)
    return Picture(content.getvalue(), TYPES["WEBP"])


def _require_file(path: Path) -> None:
    if not path.is_file():  # A pipe, for one, would be waited for.
        raise DataError("gone")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise DataError("too large")


def _on_white(image: Image.Image, longest: int) -> Image.Image:
    seen = image.convert("RGBA") if "transparency" in image.info else image
    seen = ImageOps.exif_transpose(seen)
    seen.thumbnail((longest, longest))
    if seen.mode in ("RGBA", "RGBa", "LA", "PA"):
        seen = seen.convert("RGBA")
        white = Image.new("RGB", seen.size, "white")
        white.paste(seen, mask=seen)
        return white
    return seen.convert("RGB")


def _deep(path: Path, longest: int) -> Image.Image:
    return Image.fromarray(decode_picture(path.read_bytes(), "picture", longest, "letterbox"))


class Thumbnails:
    """Thumbnails by key, the latest of them kept; of one thread.

    Args:
      size: bytes that are kept at most.
    """

    def __init__(self, size: int = 64 * 2**20):
        self._size, self._held = size, 0
        self._kept: OrderedDict[object, Picture] = OrderedDict()

    def get(self, key: object) -> Picture | None:
        """What is kept under a key."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: object, picture: Picture) -> None:
        """Keeps a thumbnail, and drops those that were not asked for longest."""
        if key in self._kept:
            self._held -= len(self._kept.pop(key).content)
        self._kept[key] = picture
        self._held += len(picture.content)
        while self._held > self._size:
            self._held -= len(self._kept.popitem(last=False)[1].content)
