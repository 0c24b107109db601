"""Reading the published VGG-F weights: MatConvNet's imagenet-vgg-f.mat, and the mean image Mean.h5.

MatConvNet wrote that file in three layouts with identical numbers: `layers` and `normalization` at the top,
a struct `net` that holds both, and `layers` beside a struct `meta` that holds the normalization. In the
older files a layer has the fields `filters` and `biases`, later a cell `weights` of the two.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import h5py
import numpy as np
import scipy.io

from gch.errors import WeightsError

if TYPE_CHECKING:
    import keras

VGGF_LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
SOURCE = "MatConvNet's pretrained model imagenet-vgg-f.mat (VLFeat project, page 'pretrained models')"


class MatConvNetFile(NamedTuple):
    """What a file of MatConvNet says about VGG-F.

    Attributes:
      layers: for each of VGGF_LAYERS the kernel, float32 (height, width, in, out), and the bias,
        float32 (out,). Shapes are those of the file; `assign_vggf` compares them with the model's.
      mean_image: float32 (H, W, 3) or mean colour (3,), RGB 0..255; None where the file has none.
    """

    layers: dict[str, tuple[np.ndarray, np.ndarray]]
    mean_image: np.ndarray | None


def require_weights(path: str | os.PathLike) -> None:
    """Raises WeightsError, saying where the weights come from, unless there is a file at `path`."""
    if not Path(path).is_file():
        raise WeightsError(
            f"{path or 'imagenet-vgg-f.mat'}: not found; expected {SOURCE}; MODEL_DIR points to it,"
            " and backbone_start='random' starts without it"
        )


def read_matconvnet(path: str | os.PathLike) -> MatConvNetFile:
    """Reads imagenet-vgg-f.mat in any of its layouts; fc8, the classifier, is left out.

    Raises:
      WeightsError: the file is missing, not a MAT file of version 5, lacks a layer of VGG-F, or holds
        something else than finite numbers.
    """
    require_weights(path)
    try:
        content = scipy.io.loadmat(
            path, appendmat=False, variable_names=("net", "layers", "normalization", "meta")
        )
    # SciPy's reader raises whatever a broken file makes it stumble over.
    except Exception as error:
        raise WeightsError(
            f"{path}: cannot be read as a MAT file ({_line(error)}); expected {SOURCE}"
        ) from None

    net = content.get("net")
    cells = _field(net, "layers") if net is not None else content.get("layers")
    layers = {}
    for layer in _elements(cells):
        name = _text(_field(layer, "name"))
        if name in VGGF_LAYERS:
            layers[name] = _kernel_and_bias(layer, name, path)
    missing = [name for name in VGGF_LAYERS if name not in layers]
    if missing:
        raise WeightsError(
            f"{path}: layers: found {', '.join(layers) or 'none of VGG-F'},"
            f" expected also {', '.join(missing)}"
        )

    meta = content.get("meta") if net is None else _field(net, "meta")
    normalization = content.get("normalization") if net is None else _field(net, "normalization")
    mean = _field(normalization, "averageImage")
    if mean is None:
        mean = _field(_field(meta, "normalization"), "averageImage")
    return MatConvNetFile(layers, None if mean is None else _mean_image(mean, f"{path}: averageImage"))


def mean_from_h5(path: str | os.PathLike) -> np.ndarray:
    """Reads the mean image from the data set `Mean` of an HDF5 file such as Mean.h5.

    Returns:
      float32 (H, W, 3), RGB 0..255.

    Raises:
      WeightsError: the file is missing, not HDF5, or its `Mean` is not a finite (H, W, 3).
    """
    if not Path(path).is_file():
        raise WeightsError(
            f"{path}: not found; expected an HDF5 file with the mean image as `Mean` (H, W, 3)"
        )
    try:
        with h5py.File(path, "r") as file:
            mean = file["Mean"][()] if isinstance(file.get("Mean"), h5py.Dataset) else None
            names = ", ".join(file)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"{path}: cannot be read as HDF5 ({_line(error)}); expected Mean.h5") from None
    if mean is None:
        raise WeightsError(f"{path}: Mean: found only {names or 'nothing'}, expected a data set (H, W, 3)")
    return _mean_image(np.asarray(mean), f"{path}: Mean")


def assign_vggf(
    model: keras.Model, layers: dict[str, tuple[np.ndarray, np.ndarray]], path: str | os.PathLike
) -> None:
    """Gives the weights of a file to a model of `gch.networks.vggf.vggf`.

    The fully connected layers of the file are convolutions over the whole map; reshaped to
    (height * width * in, out) they are the model's dense layers on the flattened (B, H, W, C) map.

    Args:
      model: VGG-F.
      layers: `MatConvNetFile.layers`.
      path: the file, for the message.

    Raises:
      WeightsError: a kernel or bias has another shape than the model's.
    """
    pairs = []
    for name in VGGF_LAYERS:
        variables = model.get_layer(name).weights
        for kind, array, expected in zip(
            ("kernel", "bias"), layers[name], _file_shapes(model, name), strict=True
        ):
            if array.shape != expected:
                raise WeightsError(f"{path}: {name}: found a {kind} {array.shape}, expected {expected}")
        pairs += zip(variables, layers[name], strict=True)
    for variable, array in pairs:
        variable.assign(array.reshape(variable.shape))


def _file_shapes(model: keras.Model, name: str) -> tuple[tuple[int, ...], tuple[int]]:
    """The shapes of kernel and bias that the layer `name` of VGG-F has in a file."""
    kernel, bias = (tuple(variable.shape) for variable in model.get_layer(name).weights)
    if name == "fc6":
        kernel = (*model.get_layer("flatten").input.shape[1:], kernel[1])
    elif name == "fc7":
        kernel = (1, 1, *kernel)
    return kernel, bias


def _kernel_and_bias(layer: np.ndarray, name: str, path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    weights = _field(layer, "weights")
    if weights is not None and weights.dtype == object and weights.size >= 2:
        kernel, bias = weights.flat[0], weights.flat[1]
    else:
        kernel, bias = _field(layer, "filters"), _field(layer, "biases")
    for kind, array in (("kernel", kernel), ("bias", bias)):
        if not _is_numeric(array):
            raise WeightsError(f"{path}: {name}: found no {kind}, expected an array of numbers")
        if not np.isfinite(array).all():
            raise WeightsError(
                f"{path}: {name}: found NaN or infinity in the {kind}, expected finite numbers"
            )
    # MATLAB drops trailing axes of length 1.
    kernel = kernel.reshape(kernel.shape + (1,) * (4 - kernel.ndim))
    return np.ascontiguousarray(kernel, "float32"), bias.reshape(-1).astype("float32")


def _mean_image(mean: np.ndarray, field: str) -> np.ndarray:
    if not _is_numeric(mean) or (mean.size != 3 and (mean.ndim != 3 or mean.shape[-1] != 3)):
        raise WeightsError(f"{field}: found {mean.dtype} of shape {mean.shape}, expected numbers (H, W, 3)")
    if not np.isfinite(mean).all():
        raise WeightsError(f"{field}: found NaN or infinity, expected finite numbers")
    return np.ascontiguousarray(mean.reshape(3) if mean.size == 3 else mean, "float32")


def _field(struct: np.ndarray | None, name: str) -> np.ndarray | None:
    """The field of a MATLAB struct as SciPy gives it; None where there is no such field, or an empty one."""
    if not isinstance(struct, np.ndarray) or name not in (struct.dtype.names or ()) or not struct.size:
        return None
    value = struct[name].flat[0]
    return value if isinstance(value, np.ndarray) and value.size else None


def _elements(cells: np.ndarray | None) -> list[np.ndarray]:
    """The elements of a MATLAB cell array, or of an array of structs."""
    if not isinstance(cells, np.ndarray):
        return []
    flat = cells.reshape(-1)
    return [flat[i : i + 1] for i in range(flat.size)] if cells.dtype.names else list(flat)


def _text(value: np.ndarray | None) -> str:
    return str(value.flat[0]) if value is not None and value.dtype.kind == "U" else ""


def _is_numeric(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.size > 0


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
