"""GCH as published: the losses, networks and schedule of Xu et al., IJCAI 2019, and of their code.

    python main_itpair.py --preset=reference --dataset_dir=FLICKR --netStr=vggf --backbone=trained

FLICKR-25K.mat and imagenet-vgg-f.mat are in data/. The rates are halved in each outer epoch, so that all
steps after the twentieth of the 500 together move a weight by about 2e-5: --Epoch=20 ends where 500 do.

The image rate of 1e-4 is for a trained VGG-F, as in the original. With a frozen backbone it trains a head
alone. The text network's rate gained in T->I and lost in I->T in a trial of one seed, so 1e-4 stays.
netStr and backbone are setting.py's, so without flags this trains on frozen features of EfficientNet-Lite0:

    python main_itpair.py --preset=reference --dataset_dir=FLICKR --Epoch=4

On generated pairs on which the original was run, the first outer epoch gives the original's figures, stage by
stage, within .03 in the mean of three seeds (benchmarks/reference_proxy.py; table in benchmarks/QUALITY.md).

Different from the original, whose figures would have no meaning:
- Batch norm uses moving statistics in tests (a code depended on its neighbours in the batch). Their momentum
  is .9; the original's is .999, which has no effect there, as nothing reads them. Here, read after the first
  outer epoch, they would still be near their start (benchmarks/QUALITY.md).
- The text network's label target is the teacher's prediction, made by the finished teacher when the stage
  begins (two fetches were swapped, and the target was the teacher's loss).
- log(1 + e^x) does not overflow, and items without labels give no infinities in the affinity.
- Weights, memories, splits and batches are seeded.
Different without an effect on those figures:
- The graph code, made anew in each of the students' steps as there, is a constant target. The original sends
  the gradient through it into the student's features as well.
- Batches are parts of a pass over the items in a new order (there: each batch is drawn by itself).
- The passes after the students' updates are left out, as nothing reads what they fill. VGG-F's features are
  computed once for the stages in which it rests.
- sign(0) is +1 (there: 0).
- Outer epochs after the first 101 train like the others (there they only test).
Different around the method:
- The best outer epoch is chosen on validation queries, which are kept from training (there: no validation,
  and figures of the query set after each outer epoch).
- mAP counts a tie as the mean over its orders (there: as an unstable sort leaves it; --ties has others).
- Checkpoints are written, and the phase test works.
"""

method = "gch"

Epoch = 500
batch_size = 128
MAX_ITER = 100
k_lab = 10
k_txt = 5
k_img = 5
k_gph = 5
k_txt_g = 5
k_img_g = 5
lr_lab = 1e-2
lr_txt = 1e-2
lr_img = 1e-4
lr_gph = 1e-3
lr_backbone = 1e-4
decay = 0.5
decay_steps = 1

SEMANTIC_EMBED = 512
graph = "batch"
teacher = True
start = "normal"
dropout_txt = 0.0
dropout_words = 0.0
dropout_img = 0.0
pair_loss = "squared"
memory = "relaxed"
memory_refresh = "step"
label_loss = "squared"
pair_items = 0
student_pair = 0.0
graph_input = "raw"
unified = "apart"
