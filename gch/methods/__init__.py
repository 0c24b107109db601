"""The methods by name. Each is a folder whose `__init__` has `MethodSettings` and `build`, and loads
TensorFlow only to build; docs/extending.md shows how to add one.
"""

from typing import TYPE_CHECKING

from gch.methods import agah, dcmh, gch

if TYPE_CHECKING:  # they load TensorFlow
    from gch.methods.items import TrainingItems
    from gch.methods.method import Method
    from gch.networks.backbone import Backbone
    from gch.settings import Settings

METHODS = {"gch": gch, "agah": agah, "dcmh": dcmh}


def build_method(settings: "Settings", items: "TrainingItems", backbone: "Backbone | None") -> "Method":
    """The method that the settings name, with freshly initialised networks.

    `backbone` may be None where the items have features.
    """
    return METHODS[settings.method].build(settings, items, backbone)
