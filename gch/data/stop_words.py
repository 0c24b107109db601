"""English function words: they join the words of a caption and say nothing about its picture.

Texts are split at apostrophes, so what is left of "don't" and "she'll" is listed too.
"""

_ENGLISH = """
    a an the this that these those such same other another each every either neither both all any some
    few many much more most several no none
    i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself
    she her hers herself it its itself they them their theirs themselves one ones
    who whom whose which what someone something anyone anything everyone everything nobody nothing
    am is are was were be been being have has had having do does did doing done
    can could may might must shall should will would ought
    about above across after against along among around as at before behind below beneath beside between
    beyond by down during except for from in inside into near of off on onto out outside over past since
    through throughout to toward towards under until up upon via with within without
    and but or nor so yet if because although though unless while whether than
    when where why how then there here now again ever never always often once also too very just only
    even still already almost quite rather not
    s t d m ll re ve don doesn didn isn aren wasn weren hasn haven hadn won wouldn couldn shouldn ain
"""


def english_stop_words() -> frozenset[str]:
    """The words, in lower case."""
    return frozenset(_ENGLISH.split())
