"""The backbone: the image network that turns pictures into features, from any of its sources."""

import functools
import sys
from dataclasses import dataclass

import keras

from gch.errors import SettingError, WeightsError
from gch.networks import matconvnet
from gch.networks.efficientnet_lite0 import efficientnet_lite0, load_weights
from gch.networks.of_user import in_words, load_model, model_digest
from gch.networks.parts import float32
from gch.networks.settings import VGGF, canonical_backbone, is_model
from gch.networks.vggf import WIDTHS, vggf
from gch.settings import Settings
from gch.storage import digest


@dataclass(frozen=True)
class Backbone:
    """An image network with its preprocessing; two backbones of equal digest give equal features."""

    name: str  # one of BACKBONES, or the path of a model
    # Images (B, H, W, 3), RGB, uint8 or float, 0..255, to float32 features (B, F), under any precision.
    model: keras.Model
    digest: str  # of weights, preprocessing, image size and precision, 64 hexadecimal digits

    @property
    def feature_size(self) -> int:
        """F."""
        return self.model.output_shape[-1]


def load_backbone(settings: Settings) -> Backbone:
    """Builds the image network that the settings ask for, and gives it its weights.

    The model of a `.keras` file or a SavedModel (its signature serving_default, or the only one) maps images
    (B, H, W, 3), RGB, 0..255, to features (B, F) or to a map (B, h, w, F), which is averaged. A random start
    is He initialisation; networks of keras.applications have Keras' own, drawn from its global seed, and
    VGG-F without a mean image has the mean colour of ImageNet.

    Raises:
      SettingError: Keras lacks the network, or the image size or start does not suit it.
      WeightsError: a weights file is missing, broken, or fits another network.
    """
    name, image_size = settings.netStr, settings.image_size
    canonical, pretrained = canonical_backbone(name) or name, settings.backbone_start == "pretrained"
    # Half precision gives other features from the same weights.
    policy = keras.config.dtype_policy().name

    if is_model(canonical):
        model = _of_user(canonical, image_size)
        # The digest of the file rather than of the weights: two files may preprocess in different ways.
        return Backbone(canonical, model, digest(".keras", image_size, policy, model_digest(canonical)))
    if canonical == "efficientnet-lite0":
        model = efficientnet_lite0(image_size, settings.seed)
        if pretrained:
            load_weights(model)
    elif canonical in VGGF:
        model = _vggf(settings, as_agah=canonical == "vggf-agah")
    else:
        model = _from_applications(canonical, image_size, pretrained)
    return Backbone(canonical, model, digest(canonical, image_size, policy, *model.get_weights()))


def _vggf(settings: Settings, as_agah: bool) -> keras.Model:
    file, mean = matconvnet.read_vggf(settings)
    # The kernels set the widths: a slimmer network in the same format works as well.
    widths = [kernel.shape[-1] for kernel, _ in file.layers.values()] if file else WIDTHS
    model = vggf(settings.image_size, mean, settings.seed, as_agah, widths)
    if file:
        matconvnet.assign_vggf(model, file.layers, settings.MODEL_DIR)
    return _with_float32_features(model)


def _from_applications(name: str, image_size: int, pretrained: bool) -> keras.Model:
    build = getattr(keras.applications, name, None)
    if build is None:
        raise SettingError(f"backbone: found {name!r}, which keras {keras.__version__} does not have")
    shape = (image_size, image_size, 3)
    network = functools.partial(build, include_top=False, pooling="avg", input_shape=shape)
    try:
        core = network(weights="imagenet" if pretrained else None)
    # Keras raises a bare Exception when the download fails, and others for a file cut short.
    except Exception as error:
        try:
            network(weights=None)
        except ValueError as unfit:
            raise SettingError(
                f"image_size: found {image_size}, which {name} cannot take ({in_words(unfit)})"
            ) from None
        raise WeightsError(
            f"{name}: its ImageNet weights could not be loaded ({in_words(error)});"
            " expected access to Keras' server, a .keras file as backbone, or backbone_start='random'"
        ) from None
    images = keras.Input(shape, name="images")
    preprocess = sys.modules[build.__module__].preprocess_input
    return _with_float32_features(keras.Model(images, core(preprocess(images)), name=name))


def _of_user(path: str, image_size: int) -> keras.Model:
    images = keras.Input((image_size, image_size, 3), name="images")
    try:
        output = load_model(path)(images)
    except WeightsError:
        raise
    # The reader raises nearly any exception on a broken or foreign file.
    except Exception as error:
        raise WeightsError(
            f"{path}: found {in_words(error)}; expected a model of images {images.shape}"
        ) from None
    shape: tuple = output.shape if isinstance(output, keras.KerasTensor) else ()
    if len(shape) not in (2, 4) or not shape[-1]:
        found = shape or f"a {type(output).__name__}"
        raise WeightsError(f"{path}: output: found {found}, expected features (B, F) or a map (B, h, w, F)")
    if len(shape) == 4:
        output = keras.layers.GlobalAveragePooling2D(dtype="float32", name="features")(output)
    return _with_float32_features(keras.Model(images, output, name="backbone"))


def _with_float32_features(model: keras.Model) -> keras.Model:
    if model.output.dtype == "float32":
        return model
    return keras.Model(model.input, float32(model.output, "float32_features"), name=model.name)
