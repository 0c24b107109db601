"""A user's picture files, of any size and mode, as square RGB arrays: what the networks take.

Whatever is wrong with a file ends in one `DataError`, since a folder of thousands of pictures collected
elsewhere always has some that are broken.
"""

import io
import math
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from gch.errors import DataError

FITS = ("crop", "letterbox")
LETTERBOX_FILL = (124, 116, 104)  # The mean colour of ImageNet, rounded.
MAX_PIXELS = 2**27
MAX_FILE_BYTES = 2**28
# Raster formats that Pillow decodes by itself: EPS, for one, would start Ghostscript.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
_EXPECTED = "JPEG, PNG, GIF, BMP, WebP, TIFF or PPM"
_SUPPORT = 2  # of the bicubic filter, in pixels of the result
_GAP = 2  # Cheap reductions stop at this multiple of the final size, the rest is done by good resampling.
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

    The picture is turned as its EXIF data say. With fit 'crop', its short side is scaled to `size` and its
    centre is kept; with 'letterbox', its long side is scaled to `size` and the rest is filled evenly with
    `LETTERBOX_FILL`. A side that has `size` pixels already is not resampled.

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
        return _decoded(data, size, fit)
    except UnidentifiedImageError as error:
        raise DataError(f"{_shown(name)}: no picture that is known here, expected {_EXPECTED}") from error
    except (_TooLarge, Image.DecompressionBombError) as error:
        raise DataError(f"{_shown(name)}: {error}, expected {MAX_PIXELS} pixels at most") from error
    except Exception as error:  # Pillow raises a dozen types on broken bytes, and lists them nowhere.
        told = " ".join(f"{type(error).__name__} {error}".split())
        raise DataError(f"{_shown(name)}: cannot be decoded, {told}; expected a whole picture") from error


class _TooLarge(Exception):
    pass


def _decoded(data: bytes, size: int, fit: str) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise _TooLarge(f"{image.width} x {image.height} pixels")
        # A JPEG can be decoded at a fraction of its size; the extent then need not be whole pixels.
        least = size * _GAP
        if fit == "letterbox":
            least = max(1, least * min(image.size) // max(image.size))
        draft = image.draft(None, (least, least))
        image.load()
        extent = draft[1][2:] if draft else image.size
        if fit == "crop":
            upright = _upright(_cropped(_rgb(image), extent, size), _orientation(image))
        else:
            upright = _padded(_upright(_scaled(_rgb(image), extent, size), _orientation(image)), size)
    return np.array(upright)


def _orientation(image: Image.Image) -> object:
    # Asked after loading: Pillow turns a TIFF while it loads, and finds EXIF data behind a PNG's pixels.
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
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


def _cropped(image: Image.Image, extent: tuple[float, float], size: int) -> Image.Image:
    side = min(extent)
    left, top = ((length - side) / 2 for length in extent)
    if side == size:  # Half a pixel would blur a picture that needs no scaling.
        left, top = int(left), int(top)
    return _resized(image, (size, size), (left, top, left + side, top + side))


def _scaled(image: Image.Image, extent: tuple[float, float], size: int) -> Image.Image:
    width, height = (max(1, round(length * size / max(extent))) for length in extent)
    return _resized(image, (width, height), (0, 0, *extent))


def _resized(
    image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]
) -> Image.Image:
    """A part of a picture scaled, along the rows and then along the columns.

    In two steps since Pillow by itself takes either first, whose rounding an exported model could not repeat.
    """
    factors = tuple(max(1, int((box[axis + 2] - box[axis]) / size[axis] / _GAP)) for axis in range(2))
    # Only what is needed: a very long picture has no scaled copy in between.
    left, right = _reach(image.width, size[0], box[0], box[2])
    top, bottom = _reach(image.height, size[1], box[1], box[3])
    needed = (left, top, right, bottom)
    image = image.reduce(factors, needed) if max(factors) > 1 else image.crop(needed)
    x, y, x_end, y_end = ((box[i] - needed[i % 2]) / factors[i % 2] for i in range(4))
    scaled = image.resize((size[0], image.height), Image.Resampling.BICUBIC, (x, 0, x_end, image.height))
    return scaled.resize(size, Image.Resampling.BICUBIC, (0, y, size[0], y_end))


def _reach(length: int, size: int, start: float, stop: float) -> tuple[int, int]:
    """First and last pixel that scaling start..stop to `size` reads, of a side of `length`."""
    reach = _SUPPORT * max(1.0, (stop - start) / size) + 1
    return max(0, math.floor(start - reach)), min(length, math.ceil(stop + reach))


def _padded(image: Image.Image, size: int) -> Image.Image:
    square = Image.new("RGB", (size, size), LETTERBOX_FILL)
    square.paste(image, ((size - image.width) // 2, (size - image.height) // 2))
    return square


def _shown(name: str | Path) -> str:
    return str(name) if str(name).isprintable() else ascii(str(name))
