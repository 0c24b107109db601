"""Codes that find things, not only groups: for a collection that is searched by words.

    pip install 'gch[sentences]'
    gch train --preset=things

Texts are encoded by a sentence encoder, so that no word is dropped and words of no text are answered. Pairs
with labels learn both affinities; of pairs without, `affinity = ""` takes what there is.
"""

method = "gch"

txtStr = "sentences"
affinity = "both"
bit = 128
