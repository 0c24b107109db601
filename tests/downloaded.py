"""How tests write the files of downloads."""

import functools
import zipfile
from pathlib import Path

from PIL import Image
from written import encoded


@functools.cache
def jpeg(number: int, side: int = 24) -> bytes:
    """A picture of one colour, that tells its number."""
    colour = (number % 256, 100, 200 - number % 150)
    return encoded(Image.new("RGB", (side, side), colour), "jpeg", quality=95)


def write(folder: Path, files: dict[str, bytes | None]) -> Path:
    """Writes files by their names in a folder; None leaves one out."""
    for name, content in files.items():
        if content is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    return folder


def write_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path.parent
