"""Which variant of GCH the settings and the data ask for."""

from gch.methods.gch.label_graph import LabelGraphGCH
from gch.methods.gch.pair_graph import PairGraphGCH
from gch.methods.gch.paper import PaperGCH
from gch.methods.gch.students import WithoutGraph
from gch.methods.items import TrainingItems
from gch.methods.method import Method
from gch.networks.backbone import Backbone
from gch.settings import Settings


def build(settings: Settings, items: TrainingItems, backbone: Backbone | None) -> Method:
    """The variant by affinity and graph; affinity '' is labels where the data have them, else pairs."""
    own = settings.options
    if own.affinity == "pairs" or (not own.affinity and not items.labels.shape[1]):
        return PairGraphGCH(settings, items, backbone)
    variants = {"label": LabelGraphGCH, "batch": PaperGCH, "none": WithoutGraph}
    return variants[own.graph](settings, items, backbone)
