"""MIRFlickr-25K from FLICKR-25K.mat in DATA_DIR; all else as setting.py ships it.

    python main_itpair.py --preset=flickr25k --bit=64

Expected of 15,580 of the pairs, whose pictures had been reduced to 128 x 128, with a frozen
EfficientNet-Lite0: query set, mean of seeds 0, 1 and 2 (benchmarks/QUALITY.md); training on one core, the
features cached.

    bits   mAP I->T   T->I   training
      16       .817   .822      156 s
      32       .832   .836      160 s
      64       .840   .843      164 s
"""

dataset_dir = "FLICKR"
