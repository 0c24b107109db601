"""A user's picture files, of any size and mode, as square RGB arrays: what the networks take.

Whatever is wrong with a file ends in one `DataError`, since a folder of thousands of pictures collected
elsewhere always has some that are broken.
"""

import io
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from gch.errors import DataError

FITS = ("crop", "letterbox")
MAX_PIXELS = 2**27
MAX_SIDE = 2**20
MAX_FILE_BYTES = 2**28
DRAFT = 2  # A JPEG is decoded at a fraction of its size, but at this multiple of the final size at least.
# Raster formats that Pillow decodes by itself: EPS, for one, would start Ghostscript.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
_EXPECTED = "JPEG, PNG, GIF, BMP, WebP, TIFF or PPM"
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_picture(path: Path, size: int, fit: str) -> np.ndarray:
    """The picture in a file; see `decode_picture`.

    Args:
      path: a picture file of `MAX_FILE_BYTES` at most.
      size: side of the result in pixels, 1 or more.
      fit: one of `FITS`.

    Returns:
      uint8 (size, size, 3), RGB.

    Raises:
      DataError: the file is missing, cannot be read, is too large or is no whole picture.
    """
    name = _shown(path)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
            raise DataError(f"{name}: {kind}, expected a picture file")
        if found.st_size > MAX_FILE_BYTES:
            raise DataError(f"{name}: {found.st_size} bytes, expected {MAX_FILE_BYTES} at most")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{name}: not found, expected a picture file") from error
    except OSError as error:
        raise DataError(f"{name}: cannot be read, {error.strerror}; expected a picture file") from error
    except ValueError as error:  # A NUL in the name, for one.
        raise DataError(f"{name}: cannot be read, {error}; expected a picture file") from error
    return decode_picture(data, path, size, fit)


def decode_picture(data: bytes, name: str | Path, size: int, fit: str) -> np.ndarray:
    """The picture that the bytes of a picture file hold, upright and square.

    The picture is turned as its EXIF data say, and scaled by `gch.data.squares.squared`.

    Transparent pictures are laid on white. Integers of more than 8 bits are scaled from 0..65535, and
    clipped to that. Floats are scaled from 0..1 where none is above 1, from 0..255 otherwise, and clipped;
    those that are not finite count as 0. Of an animation or a file of pages, the first counts. Colour
    profiles are not applied. Several threads may decode at once.

    Args:
      data: the content of a file, JPEG, PNG, GIF, BMP, WebP, TIFF or PPM, of `MAX_PIXELS` at most.
      name: where the bytes come from, for messages.
      size: side of the result in pixels, 1 or more.
      fit: one of `FITS`.

    Returns:
      uint8 (size, size, 3), RGB.

    Raises:
      DataError: the bytes are no whole picture of these formats, or one that is too large.
    """
    if fit not in FITS or size < 1:
        raise ValueError(f"fit = {fit!r}, size = {size}, expected one of {FITS} and 1 or more")
    if not data:
        raise DataError(f"{_shown(name)}: empty file, expected a picture, {_EXPECTED}")
    # Left in place: threads that decode at once would put back each other's filters. Appended, it yields to
    # what the user asks for with -W, and adding it again changes nothing.
    warnings.filterwarnings("ignore", module=r"PIL\.", append=True)
    try:
        pixels = _decoded(data, size, fit)
    except UnidentifiedImageError as error:
        raise DataError(f"{_shown(name)}: no picture that is known here, expected {_EXPECTED}") from error
    except (_TooLarge, Image.DecompressionBombError) as error:
        expected = f"{MAX_PIXELS} pixels at most, {MAX_SIDE} a side"
        raise DataError(f"{_shown(name)}: {error}, expected {expected}") from error
    except Exception as error:  # Pillow raises a dozen types on broken bytes, and lists them nowhere.
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise DataError(f"{_shown(name)}: cannot be decoded, {reason}; expected a whole picture") from error
    if pixels.shape == (size, size, 3):
        return pixels
    from gch.data.squares import square  # loads TensorFlow

    return square(pixels, size, fit)


class _TooLarge(Exception):
    pass


def _decoded(data: bytes, size: int, fit: str) -> np.ndarray:
    """The pixels, upright, uint8 (H, W, 3); of a JPEG that is much too large, at a fraction of its size."""
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
            raise _TooLarge(f"{image.width} x {image.height} pixels")
        least = size * DRAFT
        if fit == "letterbox":
            least = max(1, least * min(image.size) // max(image.size))
        draft = image.draft(None, (least, least))
        image.load()  # Pillow turns a TIFF while it loads, and finds EXIF data behind a PNG's pixels.
        pixels = _rgb(image)
        if draft:  # Last pixels that stand for less than half of one go.
            width, height = draft[1][2:]
            pixels = pixels.crop((0, 0, int(width + 0.5), int(height + 0.5)))
        return np.asarray(_upright(pixels, _orientation(image)))


def _orientation(image: Image.Image) -> object:
    """Of the EXIF data alone: an exported model does not read what other data say of it."""
    try:
        exif = Image.Exif()
        exif.load(image.info["exif"])
        return exif.get(ExifTags.Base.Orientation)
    except Exception:  # EXIF data are often mangled where the picture itself is fine.
        return None


def _upright(image: Image.Image, orientation: object) -> Image.Image:
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _from_grey(np.asarray(image), 65535)
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image), nan=0, posinf=0, neginf=0)
        return _from_grey(values, 255 if values.max() > 1 else 1)
    if image.mode in ("RGBA", "RGBa", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_grey(values: np.ndarray, top: int) -> Image.Image:
    scaled = np.clip(values, 0, top) * np.float32(255 / top)
    return Image.fromarray(np.rint(scaled).astype(np.uint8)).convert("RGB")


def _shown(name: str | Path) -> str:
    return str(name) if str(name).isprintable() else ascii(str(name))
