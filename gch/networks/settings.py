"""Settings of the image backbone and of what the networks of all methods share."""

import dataclasses

from gch.errors import SettingError
from gch.networks.names import canonical_backbone, known_backbones
from gch.rules import setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Which networks are built, and where their weights come from."""

    netStr: str = setting(
        "efficientnet-lite0",
        "image backbone: efficientnet-lite0, vggf, vggf-agah (normalised and pooled as AGAH does), a "
        "model of keras.applications by name, or a .keras file",
    )
    backbone: str = setting(
        "frozen",
        "train the backbone, or keep it frozen and cache its features",
        choices=["frozen", "trained"],
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
        512, "size of the features that codes are made of", minimum=1, aliases=["emb_dim"]
    )
    start: str = setting(
        "glorot",
        "initial weights: Glorot's, N(0, 1) as GCH's original, or PyTorch's as AGAH's",
        choices=["glorot", "normal", "uniform"],
    )

    def check_networks(self) -> None:
        """Raises SettingError where values are impossible."""
        if canonical_backbone(self.netStr) is None:
            known = ", ".join(known_backbones()[:5])
            raise SettingError(
                f"netStr is {self.netStr!r}; expected {known} ... (keras.applications), or a .keras file"
            )
