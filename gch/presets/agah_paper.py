"""AGAH (Gu et al., ICMR 2019) with every published option; docs/methods.md lists what differs.

    gch train --preset=agah_paper      # FLICKR-25K.mat and imagenet-vgg-f.mat in data/

With a trained VGG-F, 300 passes of 78 steps take 20 hours on two cores. `--netStr=efficientnet-lite0
--backbone=frozen` uses cached features instead; other data also need num_label, tag_dim and the sizes.
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
