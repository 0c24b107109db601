"""OpenMoji, the embedded data set; all else as setting.py ships it.

    python main_itpair.py --preset=openmoji --bit=64

Expected with a frozen EfficientNet-Lite0: query set, mean of seeds 0, 1 and 2 (benchmarks/QUALITY.md);
training on one core, the features cached.

    bits   mAP I->T   T->I   training
      16       .742   .873       93 s
      32       .764   .884      104 s
      64       .770   .881       90 s
"""

dataset_dir = "OpenMoji"
