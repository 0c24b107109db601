"""AGAH: adversary-guided asymmetric hashing (Gu et al., ICMR 2019)."""

import dataclasses

from gch.rules import require_numbers, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodSettings:
    """Settings of AGAH alone."""

    k_agah: int = setting(
        10, "passes over the training items in an outer epoch; both maps are updated after each", minimum=1
    )
    lr: float = setting(
        1e-4, "learning rate of a trained backbone; the rest learns ten times as fast", above=0
    )
    txt_widths: str = setting("8192,4096", "widths of the hidden layers of the text network", shapes=True)
    lambd: float = setting(
        0.8,
        "share of an item's own features; the rest comes from the labels that it attends to",
        minimum=0,
        maximum=1,
    )
    margin: float = setting(0.3, "margin of the triplets, in cosine distance", minimum=0, maximum=2)
    alpha: float = setting(1.0, "weight of the balance loss", minimum=0)
    beta: float = setting(0.0, "weight of the label classifiers' loss", minimum=0)
    gamma: float = setting(1e-3, "weight of the code map's loss", minimum=0)
    eta: float = setting(1.0, "weight of the quantization loss", minimum=0)
    mu: float = setting(1.0, "weight of the adversarial loss", minimum=0)
    data_enhance: bool = setting(False, "mix-up: train on blends of two pairs")
    delta: float = setting(0.5, "mix-up: shares are drawn from Beta(delta, delta)", above=0)
    feature_norm: str = setting(
        "item",
        "normalise the features of each item to unit length, or divide a batch by its norm, as AGAH's "
        "original does; then a code depends on its batch",
        choices=["item", "batch"],
    )

    needs_labels = "method is 'agah'"  # the setting that needs data with labels, and its value
    ignores_labels = ""  # likewise, the one that leaves labels out

    def check(self) -> None:
        """Raises SettingError where values are impossible."""
        require_numbers("txt_widths", self.txt_widths, "8192,4096")
