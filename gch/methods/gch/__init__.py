"""GCH (Xu et al., IJCAI 2019): `paper` has the graph of a batch, `label_graph` that of items and labels."""

import dataclasses

from gch.errors import SettingError
from gch.rules import setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodSettings:
    """Settings of GCH alone."""

    graph: str = setting(
        "label",
        "graph of the graph stages: items and labels, in-batch as in the paper, or no graph stages",
        choices=["label", "batch", "none"],
        shapes=True,
    )
    affinity: str = setting(
        "",
        "which items belong together: those that share labels, pairs whose pictures and texts are alike, or "
        "both mixed; '': labels where the data have them, else pairs",
        choices=["", "labels", "pairs", "both"],
    )
    MAX_ITER: int = setting(100, "steps in a round of the label and graph stages", minimum=1)
    k_lab: int = setting(2, "rounds of the label stage in an outer epoch", minimum=1)
    k_txt: int = setting(10, "passes over the training items of the text network's label stage", minimum=0)
    k_img: int = setting(10, "passes over the training items of the image network's label stage", minimum=0)
    k_gph: int = setting(3, "rounds of the graph stage", minimum=1)
    k_txt_g: int = setting(
        9, "passes of the text network on the codes of a batch graph; no graph: added to k_txt", minimum=0
    )
    k_img_g: int = setting(9, "passes of the image network on these codes, likewise", minimum=0)
    lr_lab: float = setting(3e-3, "learning rate of the label network", above=0)
    lr_txt: float = setting(3e-3, "learning rate of the text network", above=0)
    lr_img: float = setting(3e-3, "learning rate of the image network", above=0)
    lr_gph: float = setting(2e-3, "learning rate of the graph network", above=0)
    lr_backbone: float = setting(1e-4, "learning rate of a trained backbone", above=0)
    dropout_txt: float = setting(0.5, "dropout rate in the text network", minimum=0, maximum=0.95)
    dropout_words: float = setting(0.5, "dropout rate on the words of a text", minimum=0, maximum=0.95)
    dropout_img: float = setting(0.5, "dropout rate in the image network", minimum=0, maximum=0.95)
    graph_neighbours: int = setting(
        64, "label and pair graph: nearest training items that an item is joined to; 0: none", minimum=0
    )
    graph_regression: bool = setting(
        True,
        "label graph: join items to labels by a ridge regression too, with noise on all edges in training",
        shapes=True,
        before=False,
    )
    graph_stacking: bool = setting(
        True,
        "label graph: predict labels by all edges of an item together, weighed on the validation queries, in "
        "place of its student alone",
        shapes=True,
        before=False,
    )
    graph_text_queries: float = setting(
        2.0, "label graph: weight of the text queries; image queries have weight 1", above=0
    )
    graph_expected: float = setting(
        0.5,
        "label graph: share of the similarity that is expected of items in what the ranking loss calls "
        "relevant; 0: true labels alone",
        minimum=0,
        maximum=1,
    )
    graph_pairs: float = setting(
        0.02,
        "affinity 'both': weight of the loss of pairs; more finds more own halves, and less mAP",
        above=0,
    )
    graph_balance: float = setting(
        0.0,
        "label graph: weight of the bits' imbalance; more gives bits that halve the items, and less mAP",
        minimum=0,
    )
    graph_agreement: float = setting(
        0.0,
        "label graph: weight of the squared distance between both codes of a pair; more agreement, less mAP",
        minimum=0,
        aliases=["graph_tie"],
    )
    teacher: bool = setting(
        True, "label network, which teaches the image and text networks; False: these learn labels alone"
    )
    pair_loss: str = setting(
        "likelihood", "loss of a pair; squared: as in the original", choices=["likelihood", "squared"]
    )
    pair_scale: float = setting(
        16.0,
        "sharpness of the pair likelihood: theta = pair_scale / bit * code . code; 0: the paper's 1/2",
        minimum=0,
    )
    pair_items: int = setting(
        1024, "items of the memory bank that the pair loss draws for each batch; 0: all", minimum=0
    )
    student_pair: float = setting(1.0, "weight of the students' pair loss against the memory bank", minimum=0)
    label_loss: str = setting(
        "cross_entropy", "loss of labels; squared: as in the original", choices=["cross_entropy", "squared"]
    )
    memory: str = setting(
        "sign",
        "what the pair loss compares a batch with: signs of the memory bank, its relaxed codes, or the codes "
        "of the batch itself",
        choices=["sign", "relaxed", "batch"],
    )
    memory_refresh: str = setting(
        "stage",
        "memory bank: zeros at first, filled by each step's own pass, and recomputed when a stage begins "
        "that learns its signs; or, as in the original, N(0, 1) at first, and filled by a second pass after "
        "each step only",
        choices=["stage", "step"],
    )
    graph_input: str = setting(
        "normalized",
        "batch graph: unit features into a batch-normalised graph network; or, as in the original, raw "
        "features with the statistics of their batch into a plain network, which uses label probabilities as "
        "logits, and recomputes its codes batch by batch where students learn them apart",
        choices=["normalized", "raw"],
    )
    unified: str = setting(
        "both",
        "batch graph: codes that both students learn after the graph stage: the teacher's, the graph "
        "network's, the signs of their sum, or both apart",
        choices=["teacher", "graph", "both", "apart"],
    )

    def check(self) -> None:
        """Raises SettingError where values are impossible together."""
        if not self.teacher and self.graph != "label":
            raise SettingError(
                f"teacher is False and graph is {self.graph!r}; without a teacher codes come from the graph "
                "'label' only"
            )
        if self.affinity in ("pairs", "both") and self.graph != "label":
            raise SettingError(
                f"affinity is {self.affinity!r} and graph is {self.graph!r}; pairs are learned with graph "
                "'label' only"
            )

    @property
    def needs_labels(self) -> str:
        """The setting that needs data with labels, and its value; '' if none does."""
        if self.affinity in ("labels", "both"):
            return f"affinity is {self.affinity!r}"
        return "" if self.graph == "label" else f"graph is {self.graph!r}"

    @property
    def ignores_labels(self) -> str:
        """The setting that leaves labels out of training, and its value; '' if none does."""
        return "affinity is 'pairs'" if self.affinity == "pairs" else ""
