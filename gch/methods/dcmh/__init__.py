"""DCMH: deep cross-modal hashing (Jiang and Li, CVPR 2017)."""

import dataclasses

from gch.rules import require_numbers, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodSettings:
    """Settings of DCMH alone."""

    k_dcmh: int = setting(30, "passes over the training items in an outer epoch", minimum=1)
    lr_img: float = setting(1e-3, "learning rate of the image network's head", above=0)
    lr_txt: float = setting(1e-3, "learning rate of the text network", above=0)
    lr_backbone: float = setting(1e-4, "learning rate of a trained backbone", above=0)
    img_widths: str = setting(
        "1024", "widths of hidden layers between image features and code; '' for none", shapes=True
    )
    txt_widths: str = setting("8192", "widths of the hidden layers of the text network", shapes=True)
    gamma: float = setting(1.0, "weight of the quantization loss", minimum=0)
    eta: float = setting(1e-3, "weight of the balance loss; 1 as published", minimum=0)

    needs_labels = "method is 'dcmh'"  # the setting that needs data with labels, and its value
    ignores_labels = ""  # likewise, the one that leaves labels out

    def check(self) -> None:
        """Raises SettingError where values are impossible."""
        require_numbers("txt_widths", self.txt_widths, "8192")
        if self.img_widths:
            require_numbers("img_widths", self.img_widths, "1024")
