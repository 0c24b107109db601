"""GCH as published: the losses, networks and schedule of Xu et al., IJCAI 2019, and of their code.

    python main_itpair.py --preset=reference

Expected on MIRFlickr-25K as of the preset flickr25k, with --dataset_dir=FLICKR: query set, mean of seeds 0, 1
and 2; training on one core.

    bits   mAP I->T   T->I   training
      16       .663   .672      116 s
      32       .693   .672      144 s
      64       .693   .683      137 s

Mended all the same, since they make figures meaningless: batch norm uses moving statistics in tests (a
code depended on its neighbours in the batch), the text network's label target is the teacher's prediction
(it was the scalar loss), log(1 + e^x) does not overflow, items without labels give no infinities, the graph
code is a constant target in the students' steps, and weights, splits and batches are seeded.
"""

method = "gch"

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
label_loss = "squared"
pair_items = 0
student_pair = 0.0
graph_input = "raw"
unified = "apart"
