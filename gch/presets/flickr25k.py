"""MIRFlickr-25K from FLICKR-25K.mat in DATA_DIR; all else as setting.py ships it.

    python main_itpair.py --preset=flickr25k --bit=64

Expected of 15,580 of the pairs, whose pictures had been reduced to 128 x 128, with a frozen
EfficientNet-Lite0: mean of seeds 0, 1 and 2 over all items of the retrieval set, and over those that were
never trained on (benchmarks/QUALITY.md).

    bits   mAP I->T   T->I   new I->T   T->I
      16       .818   .822       .754   .785
      32       .832   .837       .764   .797
      64       .841   .844       .772   .805
"""

dataset_dir = "FLICKR"
