"""Reading the published VGG-F weights: MatConvNet's imagenet-vgg-f.mat, and the mean image Mean.h5.

MatConvNet wrote that file in three layouts with identical numbers: `layers` and `normalization` at the top,
a struct `net` that holds both, and `layers` beside a struct `meta` that holds the normalization. In the
older files a layer has the fields `filters` and `biases`, later a cell `weights` of the two.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import numpy as np

from gch.data.mat_file import load_mat5
from gch.data.text_files import opened, require_file, require_stored
from gch.errors import DataError, SettingError, WeightsError
from gch.networks.settings import canonical_backbone

if TYPE_CHECKING:
    import keras

    from gch.settings import Settings

VGGF_LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
SOURCE = "MatConvNet's pretrained model imagenet-vgg-f.mat (VLFeat project, page 'pretrained models')"
VGGF_IMAGE_SIZE = 224
MEAN_COLOR = np.array((123.68, 116.779, 103.939))  # of ImageNet, RGB 0..255
Weights = dict[str, tuple[np.ndarray, np.ndarray]]


class MatConvNetFile(NamedTuple):
    """VGG-F as read from a file of MatConvNet."""

    # For each of VGGF_LAYERS, in order, the kernel, float32 (height, width, in, out), and the bias, (out,).
    layers: Weights
    mean_image: np.ndarray | None  # float32 (H, W, 3) or mean colour (3,), RGB 0..255


def read_matconvnet(path: str | os.PathLike) -> MatConvNetFile:
    """Reads imagenet-vgg-f.mat in any of its layouts, without fc8, the classifier; raises WeightsError where
    it is missing, damaged, or lacks a layer.
    """
    advice = "MODEL_DIR points to it, and backbone_start='random' starts without it"
    require_file(path or "imagenet-vgg-f.mat", f"expected {SOURCE}; {advice}", WeightsError)
    try:
        content = load_mat5(Path(path), ("net", "layers", "normalization", "meta"))
    except DataError as error:
        raise WeightsError(f"{error}; expected {SOURCE}") from None

    net, names = content.get("net"), ("layers", "normalization", "meta")
    parts = {name: content.get(name) if net is None else _field(net, name) for name in names}
    found = {}
    for layer in () if parts["layers"] is None else parts["layers"].flat:
        name = _field(layer, "name")
        if _is(name, "U") and name.item(0) in VGGF_LAYERS:
            found[name.item(0)] = _kernel_and_bias(layer, f"{path}: {name.item(0)}")
    missing = [name for name in VGGF_LAYERS if name not in found]
    if missing:
        raise WeightsError(
            f"{path}: layers: found {', '.join(found) or 'none of VGG-F'}, expected also {', '.join(missing)}"
        )

    mean = _field(parts["normalization"], "averageImage")
    if mean is None:
        mean = _field(_field(parts["meta"], "normalization"), "averageImage")
    layers = {name: found[name] for name in VGGF_LAYERS}
    return MatConvNetFile(layers, None if mean is None else _mean_image(mean, f"{path}: averageImage"))


def read_vggf(settings: Settings) -> tuple[MatConvNetFile | None, np.ndarray]:
    """The weights that VGG-F starts from, None for a random start, and the mean image, (224, 224, 3) or (3,).
    Raises SettingError for images of another size, and WeightsError where a file cannot be used.
    """
    size, path = settings.image_size, settings.MODEL_DIR
    if size != VGGF_IMAGE_SIZE:
        raise SettingError(
            f"image_size: found {size}, expected {VGGF_IMAGE_SIZE} for the backbone "
            f"{canonical_backbone(settings.netStr)}"
        )
    file = read_matconvnet(path) if settings.backbone_start == "pretrained" else None
    mean = file.mean_image if file else MEAN_COLOR
    if settings.meanpath:
        mean = mean_from_h5(settings.meanpath)
    if mean is None or mean.shape not in ((size, size, 3), (3,)):
        found = "none" if mean is None else f"shape {mean.shape}"
        raise WeightsError(
            f"{settings.meanpath or path}: mean image: found {found}, expected {(size, size, 3)}; meanpath"
            " may name another file, Mean.h5"
        )
    return file, mean


def mean_from_h5(path: str | os.PathLike) -> np.ndarray:
    """Reads the mean image, float32 (H, W, 3), RGB 0..255, from an HDF5 file such as Mean.h5."""
    expected = "expected an HDF5 file such as Mean.h5, with the mean image as `Mean` (H, W, 3)"
    try:
        with opened(path, expected, fault=WeightsError), h5py.File(path, "r") as file:
            require_stored(path, file["Mean"].nbytes, WeightsError, "Mean ")
            return _mean_image(np.asarray(file["Mean"][()]), f"{path}: Mean")
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: cannot be read, {' '.join(str(error).split())}; {expected}") from None


def assign_vggf(model: keras.Model, layers: Weights, path: str | os.PathLike) -> None:
    """Gives the layers of the file at `path` to a model of VGG-F; raises WeightsError, and leaves the model
    as it was, where a shape is not the model's.

    The fully connected layers of the file are convolutions over the whole map; reshaped to (height * width *
    in, out) they are the model's dense layers on the flattened (B, H, W, C) map.
    """
    shapes = {name: [tuple(one.shape) for one in model.get_layer(name).weights] for name in VGGF_LAYERS}
    for name, kernel_and_bias in layers.items():
        kernel, bias = shapes[name]
        if name == "fc6":
            kernel = (*model.get_layer("flatten").input.shape[1:], kernel[1])
        elif name == "fc7":
            kernel = (1, 1, *kernel)
        for kind, array, expected in zip(("kernel", "bias"), kernel_and_bias, (kernel, bias), strict=True):
            if array.shape != expected:
                raise WeightsError(f"{path}: {name}: found a {kind} {array.shape}, expected {expected}")
    for name, arrays in layers.items():
        model.get_layer(name).set_weights(
            [array.reshape(shape) for array, shape in zip(arrays, shapes[name], strict=True)]
        )


def _kernel_and_bias(layer: np.ndarray, place: str) -> tuple[np.ndarray, np.ndarray]:
    weights = _field(layer, "weights")
    if weights is not None and weights.dtype == object and weights.size >= 2:
        kernel, bias = weights.flat[:2]
    else:
        kernel, bias = _field(layer, "filters"), _field(layer, "biases")
    for kind, array in (("kernel", kernel), ("bias", bias)):
        if not _is(array, "fiu") or not np.isfinite(array).all():
            found = "NaN or infinity in the" if _is(array, "fiu") else "no"
            raise WeightsError(f"{place}: found {found} {kind}, expected an array of finite numbers")
    # MATLAB drops trailing axes of length 1.
    kernel = kernel.reshape(kernel.shape + (1,) * (4 - kernel.ndim))
    return np.ascontiguousarray(kernel, "float32"), bias.reshape(-1).astype("float32")


def _mean_image(mean: np.ndarray, place: str) -> np.ndarray:
    whole = _is(mean, "fiu") and (mean.size == 3 or (mean.ndim == 3 and mean.shape[-1] == 3))
    if not whole or not np.isfinite(mean).all():
        found = "NaN or infinity" if whole else f"{mean.dtype} of shape {mean.shape}"
        raise WeightsError(f"{place}: found {found}, expected finite numbers (H, W, 3)")
    return np.ascontiguousarray(mean.reshape(3) if mean.size == 3 else mean, "float32")


def _field(struct: object, name: str) -> Any:
    if not isinstance(struct, np.ndarray | np.void) or name not in (struct.dtype.names or ()):
        return None
    value = struct[name] if isinstance(struct, np.void) else next(iter(struct[name].flat), None)
    return value if isinstance(value, np.ndarray) and value.size else None


def _is(value: object, kinds: str) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in kinds and value.size > 0
