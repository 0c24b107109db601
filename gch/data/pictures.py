"""A user's picture files, of any size and mode, as square RGB arrays; a broken one is a `DataError`."""

import concurrent.futures
import io
import os
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from unicodedata import normalize

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from gch.data.text_files import opened, printable
from gch.errors import DataError
from gch.storage import digest

FITS = ("crop", "letterbox")
MAX_PIXELS = 2**27
MAX_SIDE = 2**20
MAX_FILE_BYTES = 2**28
DRAFT = 2  # A JPEG is decoded at a fraction of its size, but at this multiple of the final size at least.
# Raster formats that Pillow decodes by itself: EPS, for one, would start Ghostscript.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
_EXPECTED = "JPEG, PNG, GIF, BMP, WebP, TIFF or PPM"
_HTML = re.compile(rb"\s*<(!doctype|html|head|\?xml|!--)", re.IGNORECASE)
_STRIP = 2**20  # pixels
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: np.rot90,
}


class PictureFiles:
    """Implements `gch.data.pairs.Pictures` on N files, which are decoded whenever they are read.

    `paths` are relative to `folder`; `size` and `fit` as in `decode_picture`.
    """

    block = 1

    def __init__(self, folder: Path, paths: Sequence[str], size: int, fit: str):
        self.size = (size, size)
        self.folder, self.paths, self.fit = folder, paths, fit

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Decodes pictures side by side; see `gch.data.pairs.Pictures`."""
        rows = np.asarray(rows).tolist()
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            decoded = list(pool.map(lambda row: self.decode(row, self.content(row)), rows))
        return np.stack(decoded) if decoded else np.empty((0, *self.size, 3), np.uint8)

    @property
    def digest(self) -> str:
        """Changes with a path, with the size or date of a file, and with what becomes of the pictures."""
        state = []
        for path in self.paths:
            try:
                found = os.stat(self.folder / path)
                state.append((path, found.st_size, found.st_mtime_ns))
            except OSError:
                state.append((path, -1, -1))
        return digest("picture files 3", repr(state), self.size[0], self.fit)

    def missing(self) -> list[str]:
        """The paths at which there is no file."""
        return [path for path in self.paths if not (self.folder / path).is_file()]

    def content(self, row: int) -> bytes:
        """The bytes of the file of one row; raises DataError, which names it, where it cannot be read."""
        return _picture_bytes(self.folder / self.paths[row])

    def decode(self, row: int, content: bytes) -> np.ndarray:
        """The picture in the `content` of one row, uint8 (H, W, 3); raises DataError as `decode_picture`."""
        return decode_picture(content, self.folder / self.paths[row], self.size[0], self.fit)


def as_stored(folder: str, *spellings: str) -> str:
    """The first spelling of a path in a folder at which there is a file; else the first one.

    Unicode's forms NFC and NFD count as spellings of each: archives of macOS may turn one into the other.
    """
    forms = (form for one in spellings for form in (one, *(normalize(form, one) for form in ("NFC", "NFD"))))
    different = list(dict.fromkeys(forms))
    if len(different) == 1:
        return different[0]
    return next((one for one in different if os.path.exists(os.path.join(folder, one))), different[0])


def tail_in_folder(folder: Path, paths: Sequence[str]) -> list[str]:
    """Paths as another machine wrote them, made relative to `folder` by leaving out leading parts.

    As many parts are left out of every path as the first one that can be found needs.

    Raises:
      DataError: a path has a part '..', none is found in the folder, or one is too short.
    """
    parts = [[part for part in path.replace("\\", "/").split("/") if part not in ("", ".")] for path in paths]
    for path, one in zip(paths, parts, strict=True):
        if ".." in one or not one or "\0" in path:
            raise DataError(f"{folder}: path {path!r}, expected one that stays in the folder")
    for sample in parts[:100]:
        for left_out in range(len(sample)):
            if os.path.isfile(folder / "/".join(sample[left_out:])):  # False where a name is too long
                for path, one in zip(paths, parts, strict=True):
                    if len(one) <= left_out:
                        expected = f"expected {left_out} folders before the file"
                        raise DataError(f"{folder}: path {path!r}, {expected}")
                return ["/".join(one[left_out:]) for one in parts]
    raise DataError(
        f"{folder}: {paths[0]!r} not found in it, nor a file that this or another path ends with, such as "
        f"{parts[0][-1]!r}; expected the pictures there"
    )


def read_picture(path: Path, size: int, fit: str) -> np.ndarray:
    """`decode_picture` of a file of `MAX_FILE_BYTES` at most; raises DataError where it cannot be read."""
    return decode_picture(_picture_bytes(path), path, size, fit)


def decode_picture(data: bytes, name: str | Path, size: int, fit: str) -> np.ndarray:
    """The picture in the bytes of a file, turned by its EXIF data and scaled by `squares.squared`.

    Transparent pictures are laid on white. Integers of more than 8 bits are scaled from 0..65535, and
    clipped to that. Floats are scaled from 0..1 where none is above 1, from 0..255 otherwise, and clipped;
    those that are not finite count as 0. Of an animation or a file of pages, the first counts. Colour
    profiles are not applied. Several threads may decode at once.

    Args:
      data: the content of a file, JPEG, PNG, GIF, BMP, WebP, TIFF or PPM, of `MAX_PIXELS` at most.
      name: the source of the bytes, for messages.
      size: side of the result in pixels, 1 or more.
      fit: one of `FITS`.

    Returns:
      uint8 (size, size, 3), RGB.

    Raises:
      DataError: the bytes are not a whole picture of these formats, or it is too large.
    """
    where = printable(name)
    if not data:
        raise DataError(f"{where}: empty file, expected a picture, {_EXPECTED}")
    # The filter stays: threads that decode at once would restore each other's filters. Appended, it yields to
    # the user's -W, and adding it again changes nothing.
    warnings.filterwarnings("ignore", module=r"PIL\.", append=True)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
                raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
            pixels = _decoded(image, size, fit)
    except UnidentifiedImageError as error:
        kind = "an HTML page" if _HTML.match(data) else "not a picture of a known format"
        raise DataError(f"{where}: {kind}, expected {_EXPECTED}") from error
    except Image.DecompressionBombError as error:
        found = str(error).partition(" exceeds")[0]  # Pillow's words go on with its own limit.
        expected = f"expected {MAX_PIXELS} pixels at most, {MAX_SIDE} a side"
        raise DataError(f"{where}: {found}, {expected}") from error
    except Exception as error:  # Pillow raises a dozen types on broken bytes, and documents none.
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise DataError(f"{where}: cannot be decoded, {reason}; expected a whole picture") from error
    if pixels.shape == (size, size, 3):
        return pixels
    from gch.data.squares import square  # loads TensorFlow

    return square(pixels, size, fit)


def _picture_bytes(path: Path) -> bytes:
    with opened(path, "expected a picture file", MAX_FILE_BYTES) as file:
        return file.read()


def _decoded(image: Image.Image, size: int, fit: str) -> np.ndarray:
    """The pixels, upright, uint8 (H, W, 3); of a JPEG that is much too large, at a fraction of its size."""
    least = size * DRAFT
    if fit == "letterbox":
        least = max(1, least * min(image.size) // max(image.size))
    draft = image.draft(None, (least, least))
    image.load()  # Pillow turns a TIFF while it loads, and finds EXIF data behind a PNG's pixels.
    width, height = image.size
    if draft:  # Last pixels that stand for less than half of one go.
        width, height = (int(side + 0.5) for side in draft[1][2:])
    # Strips, since a conversion of the whole would take its memory again several times over.
    rows = max(1, _STRIP // width)
    boxes = [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]
    float_top = 255
    if image.mode == "F" and all(_finite(image.crop(box)).max() <= 1 for box in boxes):
        float_top = 1
    pixels = np.empty((height, width, 3), np.uint8)
    for box in boxes:
        pixels[box[1] : box[3]] = np.asarray(_rgb(image.crop(box), float_top))
    image.close()  # Its memory is needed to scale the pixels.
    try:  # The EXIF data alone count: an exported model does not read what other data say of it.
        exif = Image.Exif()
        exif.load(image.info["exif"])
        orientation = exif.get(ExifTags.Base.Orientation)
    except Exception:  # EXIF data are often mangled where the picture itself is fine.
        orientation = None
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def _finite(image: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(image), nan=0, posinf=0, neginf=0)


def _rgb(image: Image.Image, float_top: int) -> Image.Image:
    if image.mode.startswith("I"):
        return _from_grey(np.asarray(image), 65535)
    if image.mode == "F":
        return _from_grey(_finite(image), float_top)
    return on_white(image)


def on_white(image: Image.Image) -> Image.Image:
    """A picture of 8 bits as RGB, where it is transparent white."""
    if image.mode in ("RGBA", "RGBa", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_grey(values: np.ndarray, top: int) -> Image.Image:
    scaled = np.clip(values, 0, top) * np.float32(255 / top)
    return Image.fromarray(np.rint(scaled).astype(np.uint8)).convert("RGB")
