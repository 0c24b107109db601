"""AGAH (Gu et al., ICMR 2019) with every option as its original code has it, but for mended faults.

    python main_itpair.py --preset=agah_paper      # FLICKR-25K.mat and imagenet-vgg-f.mat in data/

With VGG-F trained, as here, 300 passes of 78 steps are 20 hours of VGG-F's steps alone on the two cores that
benchmarks/README.md measured. `--netStr=efficientnet-lite0 --backbone=frozen` takes the features of another
network instead; on other data give num_label, tag_dim and the sizes as well.

Mended: features have unit length (the original divides by the norm of the whole batch), the best outer epoch
is chosen on validation queries (on the query set), the rate is first cut after outer epoch 100 (after the
first), the feature map is a part of the networks (a file beside them), a label that no item has keeps its
feature (NaN), and VGG-F normalises and pools as published. agah_reference does all that as the original, but
for the file and the NaN.
"""

method = "agah"

dataset_dir = "FLICKR"
split = "sequential"
num_label = 24
tag_dim = 1386
QUERY_SIZE = 2000
DATABASE_SIZE = 18015
TRAINING_SIZE = 10000
valid = True
valid_freq = 2

netStr = "vggf"
backbone = "trained"

Epoch = 300
batch_size = 128
decay = 0.6
decay_steps = 100

SEMANTIC_EMBED = 512
start = "uniform"

k_agah = 1
lr = 1e-4
txt_widths = "8192,4096"
lambd = 0.8
margin = 0.3
alpha = 1.0
beta = 0.0
gamma = 1e-3
eta = 1.0
mu = 1.0
data_enhance = False
delta = 0.5

cutoffs = "1,100,200,300,400,500,600,700,800,900,1000"
