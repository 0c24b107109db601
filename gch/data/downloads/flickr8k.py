"""Flickr8k: 8,091 pictures with five captions each.

| file of the download            | what is read                                                         |
|---------------------------------|----------------------------------------------------------------------|
| Flickr8k_text.zip               | Flickr8k.token.txt; Flickr_8k.trainImages.txt, .devImages.txt and    |
|                                 | .testImages.txt: the split                                           |
| Flickr8k_Dataset.zip            | the pictures                                                         |
| Kaggle's archive.zip            | captions.txt and the pictures, instead                               |
| caption_datasets.zip (Karpathy) | dataset_flickr8k.json: the same split, and captions where others are |
|                                 | not there                                                            |
"""

import re

from gch.data.downloads import flickr
from gch.data.downloads.download import Download
from gch.data.downloads.files import Files

KIND = flickr.Kind(
    dataset="Flickr8k",
    items=8_091,
    picture=re.compile(r"\d+_[0-9a-f]+\.jpg"),
    tokens="Flickr8k.token.txt",
    archives=("Flickr8k_text.zip", "Flickr8k_Dataset.zip"),
    lists={
        "query": "Flickr_8k.testImages.txt",
        "training": "Flickr_8k.trainImages.txt",
        "validation": "Flickr_8k.devImages.txt",
    },
    karpathy="dataset_flickr8k.json",
)


def recognise(files: Files) -> Download | None:
    """The download, where its captions are there."""
    return flickr.recognise(files, KIND)
