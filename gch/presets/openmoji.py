"""OpenMoji, the embedded data set; all else as setting.py ships it.

    python main_itpair.py --preset=openmoji --bit=64

Expected with a frozen EfficientNet-Lite0: mean of seeds 0, 1 and 2, which differ by .04, over all items of
the retrieval set, and over those that were never trained on (benchmarks/QUALITY.md).

    bits   mAP I->T   T->I   new I->T   T->I
      16       .771   .874       .707   .661
      32       .777   .886       .728   .688
      64       .765   .888       .720   .690
"""

dataset_dir = "OpenMoji"
