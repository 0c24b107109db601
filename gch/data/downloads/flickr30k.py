"""Flickr30k: 31,783 pictures with five captions each.

| file of the download            | what is read                                                         |
|---------------------------------|----------------------------------------------------------------------|
| flickr30k.tar.gz, unpacked      | results_20130124.token                                               |
| flickr30k-images.tar, unpacked  | the pictures                                                         |
| Kaggle's archive.zip            | results.csv or captions.txt, and the pictures, instead               |
| Flickr30k Entities              | train.txt, val.txt and test.txt: the split                           |
| caption_datasets.zip (Karpathy) | dataset_flickr30k.json: a split, and captions where others are not   |
|                                 | there                                                                |
"""

import re

from gch.data.downloads import flickr
from gch.data.downloads.download import Download
from gch.data.downloads.files import Files

KIND = flickr.Kind(
    dataset="Flickr30k",
    items=31_783,
    picture=re.compile(r"\d+\.jpg"),
    tokens="results_20130124.token",
    archives=("flickr30k.tar.gz", "flickr30k-images.tar"),
    lists={"query": "test.txt", "training": "train.txt", "validation": "val.txt"},
    karpathy="dataset_flickr30k.json",
)


def recognise(files: Files) -> Download | None:
    """The download, where its captions are there."""
    return flickr.recognise(files, KIND)
