"""Codes that find things, not only groups: for a collection that is searched by words.

    pip install "gch[sentences]"
    gch train --preset=things --bit=128

Texts are encoded by a sentence encoder, so that no word is dropped and words of no text are answered; beside
that, their own words count. Codes are learned from the pairs alone: labels would draw the things of a group
together.
"""

method = "gch"

txtStr = "sentences+words"
affinity = "pairs"
