"""The names of image networks, known without importing TensorFlow."""

_APPLICATIONS = """
ConvNeXtTiny ConvNeXtSmall ConvNeXtBase ConvNeXtLarge ConvNeXtXLarge DenseNet121 DenseNet169 DenseNet201
EfficientNetB0 EfficientNetB1 EfficientNetB2 EfficientNetB3 EfficientNetB4 EfficientNetB5 EfficientNetB6
EfficientNetB7 EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3 EfficientNetV2S
EfficientNetV2M EfficientNetV2L InceptionResNetV2 InceptionV3 MobileNet MobileNetV2 MobileNetV3Small
MobileNetV3Large NASNetMobile NASNetLarge ResNet50 ResNet101 ResNet152 ResNet50V2 ResNet101V2 ResNet152V2
VGG16 VGG19 Xception
"""
KERAS_APPLICATIONS = tuple(_APPLICATIONS.split())
VGGF = ("vggf", "vggf-agah")  # the published network, and as the original of AGAH changes it


def known_backbones() -> tuple[str, ...]:
    """The image networks that go by a name; a path that ends in `.keras` is another way to say one."""
    return ("efficientnet-lite0", *VGGF, *KERAS_APPLICATIONS)


def canonical_backbone(name: str) -> str | None:
    """The spelling of a name in `known_backbones`, given in any case; None if it is not one of them.

    A path that ends in `.keras` is returned as it is, whether or not the file exists.
    """
    if name.endswith(".keras"):
        return name
    return {known.lower(): known for known in known_backbones()}.get(name.lower())
