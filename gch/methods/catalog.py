"""The methods by name."""

from gch.methods.agah.method import AGAH
from gch.methods.gch.label_graph import LabelGraphGCH
from gch.methods.gch.paper import PaperGCH
from gch.methods.items import TrainingItems
from gch.methods.method import Method
from gch.networks.backbone import Backbone
from gch.settings import Settings


def build_method(settings: Settings, items: TrainingItems, backbone: Backbone | None) -> Method:
    """The method that the settings name, with newly started networks.

    `backbone` may be None where the items have features.
    """
    if settings.method == "agah":
        return AGAH(settings, items, backbone)
    variant = LabelGraphGCH if settings.graph == "label" else PaperGCH
    return variant(settings, items, backbone)
