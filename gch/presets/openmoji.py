"""OpenMoji, the embedded data set; all else as setting.py ships it.

    python main_itpair.py --preset=openmoji --bit=64

Expected with a frozen EfficientNet-Lite0: query set, mean of seeds 0 to 6, which differ by .03
(benchmarks/QUALITY.md); training on one core, the features cached.

    bits   mAP I->T   T->I   training
      16       .759   .884       74 s
      32       .771   .891       86 s
      64       .774   .889       76 s
"""

dataset_dir = "OpenMoji"
