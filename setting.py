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
phase = "train"  # "train" trains, then tests; "test" tests the best checkpoint of a run
method = "gch"
preset = ""  # "reference": the original's losses, networks and schedule
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
QUERY_SIZE = -1  # -1: the data set's own, here and below
DATABASE_SIZE = -1  # the retrieval set; training and validation items belong to it
TRAINING_SIZE = -1
VERIFICATION_SIZE = -1  # validation queries, on which the best epoch is chosen

# ---------------------------------------------------------------- image backbone
netStr = "efficientnet-lite0"  # "vggf", "vggf-agah", a name of keras.applications, or a .keras file
backbone = "frozen"  # "frozen": its features are computed once and cached; "trained"
backbone_start = "pretrained"  # "random": without ImageNet weights
MODEL_DIR = "data/imagenet-vgg-f.mat"  # weights of VGG-F
meanpath = ""  # Mean.h5 for VGG-F; "": the mean image in the weights file

# ---------------------------------------------------------------- where a run is kept
checkpoint_dir = "runs"  # a folder for each run: checkpoints, split, codes, results
log_dir = "logs"  # for tensorboard --logdir
run_name = ""  # "": made of data set, method, backbone, bit and seed
checkpoint_minutes = 5.0  # also saved after every outer epoch

# ---------------------------------------------------------------- schedule
Epoch = 4  # outer epochs; each runs the stages below in turn
batch_size = 128
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
decay = 0.5  # of every learning rate ...
decay_steps = 1  # ... each so many outer epochs

# ---------------------------------------------------------------- the method GCH
SEMANTIC_EMBED = 512  # size of the features that codes and labels are made of
graph = "label"  # of items and labels; "batch": the paper's; "none": without, for comparison
graph_neighbours = 64  # training items whose labels say something of an item
graph_text_queries = 2.0  # weight of queries by text, which are harder; those by image weigh 1
graph_balance = 0.1  # weight of the bits' imbalance
graph_tie = 0.05  # weight of the distance between the image and the text code of a pair
teacher = True  # False, with graph = "label": image and text network learn labels alone
start = "glorot"  # initial weights; "normal": N(0, 1), as the original
dropout_txt = 0.5
dropout_words = 0.5  # of a text's words
dropout_img = 0.5
pair_loss = "likelihood"  # "squared": as the original
pair_scale = 16.0  # theta = pair_scale / bit * code . code in the likelihood; 0: the paper's 1/2
memory = "sign"  # what pairs are made with: signs of the code memory, "relaxed" ones, or the "batch" itself
label_loss = "cross_entropy"  # "squared": as the original
pair_items = 1024  # items of the memory that a batch is compared with, drawn anew for each; 0: all
student_pair = 1.0  # weight of the pair loss of the image and text network against the memory
graph_input = "normalized"  # batch graph: unit features, batch-normalised; "raw": as the original
unified = "both"  # batch graph: whose signs are learned in the end: "teacher", "graph", "both" or "apart"

# ---------------------------------------------------------------- evaluation
ties = "tie-aware"  # "stable", "optimistic", "pessimistic": what equal distances count
cutoffs = "10,100,1000"  # ranks n of precision@n, recall@n, NDCG@n, ACG@n and both kinds of mAP@n
without_relevant = "zero"  # what a query without a relevant item counts; "skip": it is left out
plots = True  # saved in the run's folder, where matplotlib is installed

# ---------------------------------------------------------------- TensorBoard
panel_queries = 6  # queries on the panels of pictures; 0: no panels
histograms = True  # of weights and relaxed codes, after every outer epoch

# ---------------------------------------------------------------- device
select_gpu = "0"  # number of the GPU, several as "0,1", "" for none
per_process_gpu_memory_fraction = 0.9
precision = "float32"  # "mixed_bfloat16", "mixed_float16"
jit_compile = False  # XLA for the training steps: slower on the CPU measured (benchmarks/)
