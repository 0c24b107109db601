"""GCH as published (Xu et al., IJCAI 2019). docs/methods.md lists what differs.

    gch train --preset=reference --dataset_dir=FLICKR --netStr=vggf --backbone=trained

FLICKR-25K.mat and imagenet-vgg-f.mat are in data/. The rates halve in each outer epoch: --Epoch=20 ends
in practice where 500 do. On frozen features of EfficientNet-Lite0, without netStr and backbone, four outer
epochs of 32 bits give mAP .691 I->T and .673 T->I on FLICKR (docs/results.md).
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
