"""The settings of a run: their meaning, their rules, and the one frozen object that holds them.

`gch.settings_file` makes it of setting.py, a preset and the flags of the command line.
"""

import dataclasses

from gch.data.names import known_datasets

METHODS = ("gch", "agah")


def _setting(
    meaning: str,
    *,
    section: str = "",
    choices: tuple = (),
    minimum=None,
    above=None,
    maximum=None,
    alias: str = "",
):
    rules = {
        "meaning": meaning,
        "section": section,
        "choices": choices,
        "minimum": minimum,
        "above": above,
        "maximum": maximum,
        "alias": alias,
    }
    return dataclasses.field(metadata=rules)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """One run's settings; the metadata of a field holds its meaning, its rules, and the name that AGAH's
    original has for it, which is a flag too.
    """

    phase: str = _setting(
        "train (and then test), or test or export the best checkpoint of the run",
        section="The job",
        choices=("train", "test", "export"),
    )
    method: str = _setting("hashing method", choices=METHODS)
    preset: str = _setting("named group of settings laid over setting.py, '' for none: " + "%(presets)s")
    seed: int = _setting(
        "seed of the split, the weights, the batches and dropout", minimum=0, maximum=2**31 - 1
    )
    bit: int = _setting("length K of a code in bits, a positive multiple of 8", minimum=8)

    dataset_dir: str = _setting("data set: " + ", ".join(known_datasets()), section="Data", alias="dataset")
    DATA_DIR: str = _setting(
        "folder of the data files (or one of the files) and of the caches", alias="data_path"
    )
    image_size: int = _setting("height and width of the images in pixels", minimum=8)
    image_axes: str = _setting(
        "which comes first in files of pixels, width or height; auto: W where the channels come before "
        "them, as MATLAB writes, else H",
        choices=("auto", "WH", "HW"),
    )
    fit: str = _setting(
        "pictures in files of their own: short side scaled to image_size and centre cropped, or long side "
        "scaled and the rest filled",
        choices=("crop", "letterbox"),
    )
    broken: str = _setting(
        "pictures that cannot be read are reported and left out, or end the run", choices=("skip", "stop")
    )
    annotations: str = _setting("collection: its CSV or JSON-lines file; '': the only one in the folder")
    vocabulary_size: int = _setting("raw texts: most words of the vocabulary", minimum=1)
    vocabulary_minimum: int = _setting("raw texts: training items that must have a word", minimum=1)
    ngrams: int = _setting("free texts: longest run of words that counts as a word", minimum=1, maximum=5)
    stop_words: str = _setting("free texts: words left out: english, a file of one a line, '' for none")
    split: str = _setting(
        "random by seed, sequential (AGAH's: queries first), or an index file (.npz, .mat); '': the one that "
        "the files bring, else random"
    )
    num_label: int = _setting("labels that the data must have; -1: as many as there are", minimum=-1)
    tag_dim: int = _setting("words that the data must have; -1: as many as there are", minimum=-1)
    QUERY_SIZE: int = _setting(
        "number of query items; -1: the data set's own", minimum=-1, alias="query_size"
    )
    DATABASE_SIZE: int = _setting(
        "number of items in the retrieval set; -1: the data set's own", minimum=-1, alias="db_size"
    )
    TRAINING_SIZE: int = _setting(
        "number of retrieval items to train on; -1: the data set's own", minimum=-1, alias="training_size"
    )
    VERIFICATION_SIZE: int = _setting(
        "number of retrieval items kept from training as validation queries, on which the best epoch is "
        "chosen; 0: none, the last epoch counts as the best; -1: the data set's own",
        minimum=-1,
    )

    valid: bool = _setting(
        "choose the best outer epoch on validation queries; without it the last one counts as the best"
    )
    valid_freq: int = _setting(
        "outer epochs from one validation to the next; the last has one too", minimum=1
    )
    best_on: str = _setting(
        "queries on which the best outer epoch is chosen: those kept for validation, or the query set, as "
        "AGAH's original does, which makes its figures too good",
        choices=("validation", "query"),
    )

    netStr: str = _setting(
        "image backbone: efficientnet-lite0, vggf, vggf-agah (normalised and pooled as AGAH does), a "
        "model of keras.applications by name, or a .keras file",
        section="Image backbone",
    )
    backbone: str = _setting(
        "train the backbone, or keep it frozen and cache its features", choices=("frozen", "trained")
    )
    backbone_start: str = _setting("start of the backbone", choices=("pretrained", "random"))
    MODEL_DIR: str = _setting("file of the VGG-F weights, imagenet-vgg-f.mat", alias="pretrain_model_path")
    load_model_path: str = _setting(
        "folder of a run, whose best weights the networks start from; '': from those of `start`"
    )
    meanpath: str = _setting("file of the mean image for VGG-F, Mean.h5; '': the one in the weights file")

    checkpoint_dir: str = _setting("folder of the runs", section="Where a run is kept")
    log_dir: str = _setting("folder of the TensorBoard logs")
    run_name: str = _setting("name of the run; '': made of data set, method, backbone, bit and seed")
    checkpoint_minutes: float = _setting("minutes between checkpoints within an outer epoch", minimum=0)

    Epoch: int = _setting("number of outer epochs", section="Schedule", minimum=1, alias="max_epoch")
    batch_size: int = _setting("items in a training batch", minimum=2)
    decay: float = _setting("factor on every learning rate each decay_steps outer epochs", above=0, maximum=1)
    decay_steps: int = _setting("outer epochs between two decays", minimum=1)
    decay_early: bool = _setting("the first decay comes after the first outer epoch, as in AGAH's original")

    SEMANTIC_EMBED: int = _setting(
        "size of the features that codes are made of",
        section="The networks of both methods",
        minimum=1,
        alias="emb_dim",
    )
    start: str = _setting(
        "initial weights: Glorot's, N(0, 1) as GCH's original, or PyTorch's as AGAH's",
        choices=("glorot", "normal", "uniform"),
    )

    MAX_ITER: int = _setting(
        "steps in a round of the label and graph stages", section="The method GCH", minimum=1
    )
    k_lab: int = _setting("rounds of the label stage in an outer epoch", minimum=1)
    k_txt: int = _setting("passes over the training items of the text network's label stage", minimum=0)
    k_img: int = _setting("passes over the training items of the image network's label stage", minimum=0)
    k_gph: int = _setting("rounds of the graph stage", minimum=1)
    k_txt_g: int = _setting(
        "passes of the text network towards the codes of a batch graph; without graph, more of its label "
        "stage",
        minimum=0,
    )
    k_img_g: int = _setting("passes of the image network, likewise", minimum=0)
    lr_lab: float = _setting("learning rate of the label network", above=0)
    lr_txt: float = _setting("learning rate of the text network", above=0)
    lr_img: float = _setting("learning rate of the image network", above=0)
    lr_gph: float = _setting("learning rate of the graph network", above=0)
    lr_backbone: float = _setting("learning rate of a trained backbone", above=0)
    graph: str = _setting(
        "graph of the graph half: of items and labels, the paper's of the items of a batch, or no graph half",
        choices=("label", "batch", "none"),
    )
    graph_neighbours: int = _setting(
        "label graph: nearest training items by which an item is tied to their labels; 0: only to the labels "
        "that its network predicts",
        minimum=0,
    )
    graph_text_queries: float = _setting(
        "label graph: weight of the queries by text, those by image weigh 1", above=0
    )
    graph_balance: float = _setting(
        "label graph: weight of the bits' imbalance; more gives bits that halve the items, and less mAP",
        minimum=0,
    )
    graph_tie: float = _setting(
        "label graph: weight of the squared distance between the image and the text code of a pair; more "
        "gives codes that agree in more bits, and less mAP",
        minimum=0,
    )
    teacher: bool = _setting(
        "label network, whose codes image and text network learn; without it they learn labels alone"
    )
    dropout_txt: float = _setting("dropout rate in the text network", minimum=0, maximum=0.95)
    dropout_words: float = _setting("dropout rate on the words of a text", minimum=0, maximum=0.95)
    dropout_img: float = _setting("dropout rate in the image network", minimum=0, maximum=0.95)
    pair_loss: str = _setting("loss of a pair's similarity", choices=("likelihood", "squared"))
    pair_scale: float = _setting(
        "sharpness of the pair likelihood: theta = pair_scale / bit * code . code; 0: the paper's 1/2",
        minimum=0,
    )
    memory: str = _setting(
        "what the pair loss compares a batch with: signs of the code memory, its relaxed codes, or the codes "
        "of the batch itself",
        choices=("sign", "relaxed", "batch"),
    )
    memory_refresh: str = _setting(
        "code memory: of zeros at first, filled by each step's own pass, and made anew when a stage begins "
        "that learns its signs; or, as the original, of N(0, 1) at first, and filled by a second pass after "
        "each step alone",
        choices=("stage", "step"),
    )
    label_loss: str = _setting("loss of the predicted labels", choices=("cross_entropy", "squared"))
    pair_items: int = _setting(
        "items of the code memory that the pair loss compares a batch with, drawn anew for each; 0: all",
        minimum=0,
    )
    student_pair: float = _setting(
        "weight of the image and text network's pair loss against the code memory", minimum=0
    )
    graph_input: str = _setting(
        "batch graph: unit features into a batch-normalised graph network; or, as the original, raw features "
        "by the statistics of their batch into a plain network, whose label probabilities are taken for "
        "logits, and which makes its codes anew, of a batch, where students learn them apart",
        choices=("normalized", "raw"),
    )
    unified: str = _setting(
        "codes that the image and text network learn in the graph half: the teacher's, the graph network's, "
        "the signs of both together, or both apart",
        choices=("teacher", "graph", "both", "apart"),
    )

    k_agah: int = _setting(
        "passes over the training items in an outer epoch; both maps are made anew after each",
        section="The method AGAH",
        minimum=1,
    )
    lr: float = _setting("learning rate of a trained backbone; all else learns ten times as fast", above=0)
    txt_widths: str = _setting("widths of the hidden layers of the text network, such as 8192,4096")
    lambd: float = _setting(
        "share of an item's own features; the rest is of the labels that it attends to", minimum=0, maximum=1
    )
    margin: float = _setting("margin of the triplets, in cosine distance", minimum=0, maximum=2)
    alpha: float = _setting("weight of the balance loss", minimum=0)
    beta: float = _setting("weight of the label classifiers' loss", minimum=0)
    gamma: float = _setting("weight of the code map's loss", minimum=0)
    eta: float = _setting("weight of the quantization loss", minimum=0)
    mu: float = _setting("weight of the adversarial loss", minimum=0)
    data_enhance: bool = _setting("mix-up: train on blends of two pairs")
    delta: float = _setting("mix-up: shares are drawn from Beta(delta, delta)", above=0)
    feature_norm: str = _setting(
        "features of unit length for each item, or divided by the norm of their whole batch, as AGAH's "
        "original does, under which a code depends on its batch",
        choices=("item", "batch"),
    )

    ties: str = _setting(
        "policy for ties of Hamming distance: the expectation over their orders, the order of the database, "
        "items that share most labels first, or last; validation is tie-aware",
        section="Evaluation",
        choices=("tie-aware", "stable", "optimistic", "pessimistic"),
    )
    cutoffs: str = _setting(
        "ranks n of precision, recall, NDCG, ACG and both kinds of mAP@n, such as 10,100,1000"
    )
    without_relevant: str = _setting(
        "queries without a relevant item count 0, or are left out of the means", choices=("zero", "skip")
    )
    own_neighbour: bool = _setting(
        "label graph: a test codes training items of the retrieval set with their own entries in the "
        "neighbour table, that is with their true labels; False leaves these out, to show what they are worth"
    )

    plots: bool = _setting("plots of what was measured, where matplotlib is installed (the extra plots)")

    panel_queries: int = _setting(
        "queries on the panels of pictures; 0: no panels", section="TensorBoard", minimum=0, maximum=32
    )
    histograms: bool = _setting("histograms of weights and relaxed codes after every outer epoch")

    select_gpu: str = _setting(
        "number of the GPU to use, several as 0,1, '' for none", section="Device", alias="device"
    )
    per_process_gpu_memory_fraction: float = _setting("share of a GPU's memory to take", above=0, maximum=1)
    precision: str = _setting(
        "precision of the networks; tf32: float32 whose products a GPU rounds to 10 bits",
        choices=("float32", "tf32", "mixed_bfloat16", "mixed_float16"),
    )
    jit_compile: str = _setting(
        "compile every stage as one XLA program: on, off, or auto: on a GPU, as it was slower on the CPU "
        "measured",
        choices=("auto", "on", "off"),
    )


def cutoff_ranks(settings: Settings) -> tuple[int, ...]:
    """The setting `cutoffs` as numbers, ascending."""
    return tuple(sorted({int(rank) for rank in settings.cutoffs.split(",")}))


def describe() -> list[tuple[str, dataclasses.Field]]:
    """All settings in order, each with the section of --help that it belongs to."""
    section, listed = "", []
    for field in dataclasses.fields(Settings):
        section = field.metadata["section"] or section
        listed.append((section, field))
    return listed
