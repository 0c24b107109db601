"""The methods by name."""

from gch.methods.agah.method import AGAH
from gch.methods.gch.method import GCH
from gch.methods.items import TrainingItems
from gch.methods.method import Method
from gch.networks.backbone import Backbone
from gch.settings import Settings


def build_method(settings: Settings, items: TrainingItems, backbone: Backbone | None) -> Method:
    """The method that `settings.method` names, with newly started networks.

    `backbone` may be None where the items have features.
    """
    methods = {"gch": GCH, "agah": AGAH}
    return methods[settings.method](settings, items, backbone)
