"""Trains methods on one and on two virtual CPU devices; a process of its own, as it sets the devices up.

Before every stage, one of both takes over the checkpoint of the other, by turns. Prints, as JSON, the losses
of every step by method, stage and number of replicas.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from gch.data.generated import generate
from gch.methods import build_method
from gch.methods.items import training_items
from gch.networks.backbone import Backbone
from gch.networks.replicas import synchronize_batch_norms
from gch.settings import load_settings
from gch.training.checkpoint import Checkpoints, Position
from gch.training.loop import StageLoop, set_rates

TRAINED, BATCH, STEPS = np.arange(60), 20, 50
PAIRS = generate(items=60, image_size=16)
SETTINGS = {
    "backbone": "trained",
    "bit": 16,
    "batch_size": BATCH,
    "SEMANTIC_EMBED": 32,
    "MAX_ITER": STEPS,
    "k_lab": 1,
    "k_gph": 1,
    "k_txt": 17,
    "k_img": 17,
    "k_txt_g": 17,
    "k_img_g": 17,
    "k_agah": 17,
    "graph_neighbours": 5,
}
# The changed settings, and the stages that run. At its own rate AGAH is sensitive: from weights that differ
# by 1e-7, on one device, losses part by percents within 30 steps.
METHODS = {
    "label graph": ({}, ("image/label", "graph")),
    "agah": ({"method": "agah", "data_enhance": True, "lr": 1e-5}, ("pairs",)),
}


def small_backbone() -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Rescaling(1 / 127.5, -1),
            layers.Conv2D(8, 5, strides=2),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
        ]
    )


def build(strategy: tf.distribute.Strategy, name: str):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        settings = load_settings(Path("setting.py"), SETTINGS | METHODS[name][0])
        model = small_backbone()
        if strategy.num_replicas_in_sync > 1:
            synchronize_batch_norms(model)
        items = training_items(PAIRS, TRAINED, None, keep_pixels=name == "agah")
        return settings, items, build_method(settings, items, Backbone("small", model, ""))


def main() -> None:
    tf.config.experimental.enable_op_determinism()
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategies = {1: tf.distribute.get_strategy(), 2: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])}
    found = {}
    for name, (_, stages) in METHODS.items():
        built = {count: build(strategy, name) for count, strategy in strategies.items()}
        found[name] = {stage: {} for stage in stages}
        for number, stage_name in enumerate(stages):
            before, after = (2, 1) if number % 2 else (1, 2)
            folder = Path(sys.argv[1]) / name / str(number)
            Checkpoints(folder, built[before][2], Position()).save_latest()
            assert Checkpoints(folder, built[after][2], Position()).restore_latest()
            for count, (settings, items, method) in built.items():
                (stage,) = (one for one in method.stages if one.name == stage_name)
                set_rates(stage, settings, 0)
                run = StageLoop(stage, items, BATCH, strategy=strategies[count]).open((0, stage_name), 0)
                found[name][stage_name][count] = [run(1) for _ in range(STEPS)]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
