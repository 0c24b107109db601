"""What a run does. Edit it, then `python main_itpair.py`.

Every name here is also a flag: `python main_itpair.py --bit=32 --seed=1` wins over this file.
`python main_itpair.py --help` tells what each setting means and what it may be.

To train on FLICKR-25K with VGG-F as the papers do, put FLICKR-25K.mat and imagenet-vgg-f.mat
into data/ and change three lines:

    dataset_dir = "FLICKR"
    netStr = "vggf"
    backbone = "trained"        # hours on a CPU; "frozen" takes minutes
"""

# ---------------------------------------------------------------- the job
phase = "train"  # "train" trains, then tests; "test" and "export" take its best checkpoint
method = "gch"  # or "agah"
preset = ""  # "reference", "agah_reference": as the originals; "agah_paper": AGAH's own options
seed = 0  # of the split, the weights, the batches and dropout
bit = 64  # length of a code: a multiple of 8

# ---------------------------------------------------------------- data
dataset_dir = "OpenMoji"  # "OpenMoji" (embedded), "FLICKR", "NUS-WIDE-TC21", "NUS-WIDE-TC10", "COCO",
# "files" (others in the field's layouts), "collection" (your own folder), "generated": see data/README.md
DATA_DIR = "data"  # holds the files, or names one; caches are written to its folder cache/
image_size = 224
image_axes = "auto"  # "WH", "HW": which comes first in files of pixels; auto: W in MATLAB's
fit = "crop"  # "letterbox": how pictures of any size become square
broken = "skip"  # pictures that cannot be read are left out; "stop": they end the run
annotations = ""  # collection: name of its .csv or .jsonl file; "": the only one
vocabulary_size = 2000  # raw texts: most words
vocabulary_minimum = 2  # training items that must have a word
ngrams = 1  # free texts: 2 takes pairs of words as well
stop_words = "english"  # free texts: "" for none, or a file of one word a line
split = ""  # "random", "sequential" or an index file; "": the files' own, else random
num_label = -1  # what the data must have; -1: whatever they have
tag_dim = -1  # likewise, words
QUERY_SIZE = -1  # -1: the data set's own, here and below
DATABASE_SIZE = -1  # the retrieval set; training and validation items belong to it
TRAINING_SIZE = -1
VERIFICATION_SIZE = -1  # validation queries, on which the best epoch is chosen
valid = True  # False: the last outer epoch counts as the best
valid_freq = 1  # outer epochs from one validation to the next
best_on = "validation"  # "query": the best epoch is chosen on the query set, as AGAH's original does

# ---------------------------------------------------------------- image backbone
netStr = "efficientnet-lite0"  # "vggf", "vggf-agah", a name of keras.applications, or a .keras file
backbone = "frozen"  # "frozen": its features are computed once and cached; "trained"
backbone_start = "pretrained"  # "random": without ImageNet weights
MODEL_DIR = "data/imagenet-vgg-f.mat"  # weights of VGG-F
load_model_path = ""  # folder of a run whose best weights are the start
meanpath = ""  # Mean.h5 for VGG-F; "": the mean image in the weights file

# ---------------------------------------------------------------- where a run is kept
checkpoint_dir = "runs"  # a folder for each run: checkpoints, split, codes, results
log_dir = "logs"  # for tensorboard --logdir
run_name = ""  # "": made of data set, method, backbone, bit and seed
checkpoint_minutes = 5.0  # also saved after every outer epoch

# ---------------------------------------------------------------- schedule
Epoch = 4  # outer epochs; each runs the stages of the method in turn
batch_size = 128
decay = 0.5  # of every learning rate ...
decay_steps = 1  # ... each so many outer epochs
decay_early = False  # True: for the first time after the first, as AGAH's original

# ---------------------------------------------------------------- the networks of both methods
SEMANTIC_EMBED = 512  # size of the features that codes are made of
start = "glorot"  # initial weights; "normal": N(0, 1), "uniform": PyTorch's

# ---------------------------------------------------------------- the method GCH
MAX_ITER = 100  # steps in a round of the label and graph stages
k_lab = 2  # rounds of the label stage
k_txt = 10  # passes over the training items: text network to the teacher's codes
k_img = 10  # likewise, image network
k_gph = 3  # rounds of the graph stage
k_txt_g = 9  # passes: text network to the codes of graph = "batch"; with "none", more of k_txt
k_img_g = 9  # likewise, image network
lr_lab = 3e-3
lr_txt = 3e-3
lr_img = 3e-3
lr_gph = 2e-3
lr_backbone = 1e-4  # of a trained backbone
graph = "label"  # of items and labels; "batch": the paper's; "none": without, for comparison
graph_neighbours = 64  # training items whose labels say something of an item
graph_text_queries = 2.0  # weight of queries by text, which are harder; those by image weigh 1
graph_balance = 0.1  # weight of the bits' imbalance
graph_tie = 0.05  # weight of the distance between the image and the text code of a pair
teacher = True  # False, with graph = "label": image and text network learn labels alone
dropout_txt = 0.5
dropout_words = 0.5  # of a text's words
dropout_img = 0.5
pair_loss = "likelihood"  # "squared": as the original
pair_scale = 16.0  # theta = pair_scale / bit * code . code in the likelihood; 0: the paper's 1/2
memory = "sign"  # what pairs are made with: signs of the code memory, "relaxed" ones, or the "batch" itself
memory_refresh = "stage"  # "step": the code memory starts and is filled as the original's
label_loss = "cross_entropy"  # "squared": as the original
pair_items = 1024  # items of the memory that a batch is compared with, drawn anew for each; 0: all
student_pair = 1.0  # weight of the pair loss of the image and text network against the memory
graph_input = "normalized"  # batch graph: unit features, batch-normalised; "raw": as the original reads
unified = "both"  # batch graph: whose signs are learned in the end: "teacher", "graph", "both" or "apart"

# ---------------------------------------------------------------- the method AGAH
k_agah = 10  # passes over the training items; the label maps are made anew after each
lr = 1e-4  # of a trained backbone; ten times that of all else
txt_widths = "8192,4096"  # of the hidden layers of the text network
lambd = 0.8  # share of an item's own features; the rest is of the labels that it attends to
margin = 0.3  # of the triplets, in cosine distance
alpha = 1.0  # weights of the losses: bits that are as far from 0
beta = 0.0  # label classifiers
gamma = 1e-3  # code map
eta = 1.0  # quantization
mu = 1.0  # adversarial
data_enhance = False  # mix-up of pairs ...
delta = 0.5  # ... with shares drawn from Beta(delta, delta)
feature_norm = "item"  # "batch": by the whole batch, as the original; a code then depends on its batch

# ---------------------------------------------------------------- evaluation
ties = "tie-aware"  # "stable", "optimistic", "pessimistic": what equal distances count
cutoffs = "10,100,1000"  # ranks n of precision@n, recall@n, NDCG@n, ACG@n and both kinds of mAP@n
without_relevant = "zero"  # what a query without a relevant item counts; "skip": it is left out
own_neighbour = (
    True  # label graph: False codes database items without their own entries in the neighbour table
)
plots = True  # saved in the run's folder, where matplotlib is installed

# ---------------------------------------------------------------- TensorBoard
panel_queries = 6  # queries on the panels of pictures; 0: no panels
histograms = True  # of weights and relaxed codes, after every outer epoch

# ---------------------------------------------------------------- device
select_gpu = "0"  # number of the GPU, several as "0,1", "" for none
per_process_gpu_memory_fraction = 0.9
precision = "float32"  # "tf32", "mixed_bfloat16", "mixed_float16": faster on a GPU
jit_compile = "auto"  # "on", "off": a stage as one XLA program; auto: on a GPU, as a CPU is slower with it
