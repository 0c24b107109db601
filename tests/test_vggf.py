"""VGG-F and its layers against their originals, and the files that its weights come in."""

import gc
import weakref
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import scipy.io
import tensorflow as tf
from tensorflow.python.framework.config import disable_op_determinism

from gch.errors import SettingError, WeightsError
from gch.networks import vggf_layers
from gch.networks.backbone import load_backbone
from gch.networks.matconvnet import MEAN_COLOR, VGGF_LAYERS, assign_vggf, mean_from_h5, read_matconvnet
from gch.networks.vggf import vggf
from gch.networks.vggf_layers import BlockConvolution, LocalResponseNormalization, MaxPooling
from gch.settings import load_settings

KERNELS = {
    "conv1": (11, 11, 3, 64),
    "conv2": (5, 5, 64, 256),
    "conv3": (3, 3, 256, 256),
    "conv4": (3, 3, 256, 256),
    "conv5": (3, 3, 256, 256),
    "fc6": (6, 6, 256, 4096),
    "fc7": (1, 1, 4096, 4096),
}
SLIM = (8, 12, 12, 12, 12, 16, 16)


@pytest.fixture(scope="module")
def golden_weights():
    random = np.random.RandomState(11)
    weights = {}
    for name, shape in KERNELS.items():
        kernel = random.randn(*shape)
        kernel *= np.sqrt(2 / np.prod(shape[:3]))
        kernel = kernel.astype("float32") / np.float32(60 if name == "conv1" else 1)
        weights[name] = kernel, (random.randn(shape[3]) * 0.01).astype("float32")
    return weights


def value_and_gradient(function, x, dy=None):
    """The value, and the gradient for `dy`; without, that of the sum of squares."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
        target = tf.reduce_sum(y**2) if dy is None else y
    return y, tape.gradient(target, x, dy)


@pytest.mark.parametrize(
    ("file", "as_agah", "axes", "pixels", "atol"),
    # The original of AGAH has pictures and kernels transposed in height and width.
    [
        ("gch_vggf", False, (0, 1, 2, 3), (-128, 128), 2e-5),
        ("agah_vgg", True, (0, 3, 2, 1), (0, 255), 5e-5),
    ],
)
def test_forward_agrees_with_the_originals(golden, golden_weights, file, as_agah, axes, pixels, atol):
    model = vggf(mean_image=np.zeros(3), seed=0, as_agah=as_agah)
    assign_vggf(model, golden_weights, "drawn")
    shape = (2, 3, 224, 224) if as_agah else (2, 224, 224, 3)
    images = np.random.RandomState(500).uniform(*pixels, shape).astype("float32").transpose(axes)
    names = ("pool1", "pool2", "pool5", "fc6", "fc7")
    taps = keras.Model(model.input, [model.get_layer(name).output for name in names])
    pool1, pool2, pool5, fc6, fc7 = (tensor.numpy() for tensor in taps(images))
    assert pool1.shape == ((2, 28, 28, 64) if as_agah else (2, 27, 27, 64))
    found = {"pool1_sub": pool1[:, ::6, ::6], "pool2_sub": pool2[:, ::4, ::4], "pool5": pool5}
    found |= {"relu6": fc6[:, None, None], "relu7": fc7[:, None, None]}
    expected = golden(file)
    compared = [name for name in found if name in expected]
    assert {"pool1_sub", "pool5", "relu6", "relu7"} <= set(compared)
    for name in compared:
        np.testing.assert_allclose(
            found[name].transpose(axes), expected[name], rtol=1e-4, atol=atol, err_msg=name
        )


def test_smaller_images_and_the_mean_image_survive_a_round_trip(tmp_path):
    mean = np.random.default_rng(0).uniform(0, 255, (64, 64, 3)).astype("float32")
    model = vggf(64, mean, seed=1, as_agah=True, widths=SLIM)
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    features = model(images).numpy()
    assert features.shape == (2, 16)
    assert features.min() == 0 < features.max()
    np.testing.assert_array_equal(model(images.astype("float32")), features)
    model.save(tmp_path / "vggf.keras")
    loaded = keras.saving.load_model(tmp_path / "vggf.keras")
    np.testing.assert_array_equal(loaded.get_layer("subtract_mean").mean, mean)
    np.testing.assert_array_equal(loaded(images), features)


@pytest.fixture
def determinism():
    tf.config.experimental.enable_op_determinism()
    tf.config.experimental.enable_tensor_float_32_execution(False)  # a GPU's XLA reads no variable for it
    yield
    tf.config.experimental.enable_tensor_float_32_execution(True)
    disable_op_determinism()


@pytest.mark.usefixtures("determinism")
@pytest.mark.parametrize("as_agah", [False, True])
def test_trains_under_xla_and_determinism(as_agah):
    model = vggf(64, seed=0, as_agah=as_agah, widths=SLIM)
    images = tf.random.stateless_uniform((2, 64, 64, 3), (1, 2), maxval=255)

    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(images))
        return tape.gradient(loss, [model.get_layer("conv1").kernel.value])[0]

    plain, compiled = (tf.function(gradients, jit_compile=jit_compile)() for jit_compile in (False, True))
    assert tf.norm(plain - compiled) < 1e-4 * tf.norm(plain)


# The first convolution.


@pytest.mark.parametrize("size", [(24, 24), (26, 23), (25, 30), (11, 12)])  # some need pixels beyond the map
def test_a_convolution_of_blocks_is_the_built_in_one(size):
    x = tf.random.stateless_uniform((2, *size, 3), (1, 2))
    layer = BlockConvolution(5, 11, 4)
    layer.build(x.shape)
    expected = tf.nn.conv2d(x, layer.kernel.value, 4, "VALID")
    run = tf.function(lambda x: value_and_gradient(layer, x), jit_compile=True)
    found = run(x)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    np.testing.assert_allclose(found[1], value_and_gradient(layer, x)[1], atol=1e-4)
    operations = run.get_concrete_function(x).graph.get_operations()
    assert "SpaceToDepth" in {operation.type for operation in operations}


# Local response normalisation.


def by_definition(x, before, after, alpha):
    y = np.empty_like(x)
    for c in range(x.shape[-1]):
        neighbours = x[..., max(0, c - before) : c + after + 1]
        y[..., c] = x[..., c] / (2 + alpha * np.sum(neighbours**2, axis=-1)) ** 0.75
    return y


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(
    ("file", "arguments", "axes"),
    [
        ("gch_lrn", {}, (0, 1, 2, 3)),
        ("agah_lrn", {"window": (1, 0), "alpha": 1e-4 / 2}, (0, 2, 3, 1)),
    ],
)
def test_normalisation_and_its_gradient_agree_with_the_originals(golden, file, arguments, axes, jit_compile):
    expected = golden(file)
    layer = LocalResponseNormalization(**arguments)
    run = tf.function(lambda x: value_and_gradient(layer, x), jit_compile=jit_compile)
    y, gradient = run(tf.constant(expected["x"].transpose(axes)))
    np.testing.assert_allclose(y, expected["y"].transpose(axes), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradient, expected["grad_of_sum_y2"].transpose(axes), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("before", "after", "alpha"), [(0, 0, 0.5), (1, 2, 0.1), (9, 9, 1.0)])
def test_normalisation_agrees_with_its_definition(before, after, alpha):
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 7))
    y = LocalResponseNormalization((before, after), alpha)(tf.constant(x, tf.float32))
    np.testing.assert_allclose(y, by_definition(x, before, after, alpha), rtol=1e-5)
    # Squares of half precision would overflow.
    large = np.full((1, 1, 1, 5), 2000.0)
    y = LocalResponseNormalization((before, after), alpha, dtype="mixed_float16")(large.astype("float32"))
    assert y.dtype == "float16"
    np.testing.assert_allclose(y, by_definition(large, before, after, alpha), rtol=4e-3)


# Max pooling.


@pytest.mark.parametrize(
    ("shape", "padding"), [((3, 13, 11, 5), "VALID"), ((3, 12, 14, 5), "SAME"), ((3, 12, 14, 5), "VALID")]
)
@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_pooling_and_its_gradient_are_the_built_in_ones(shape, padding, repeated, dtype):
    random = np.random.default_rng(0)
    values = random.integers(-3, 2, shape).clip(0) if repeated else random.permutation(np.prod(shape)) / 64
    x = tf.cast(values.reshape(shape), dtype)
    y = tf.nn.max_pool2d(x, 3, 2, padding)
    dy = tf.cast(random.integers(-5, 6, y.shape), dtype)  # sums of whole numbers are exact in any order
    expected = value_and_gradient(lambda x: tf.nn.max_pool2d(x, 3, 2, padding), x, dy)[1]
    layer = MaxPooling(padding.lower(), dtype=dtype)
    found = tf.function(lambda x, dy: value_and_gradient(layer, x, dy), jit_compile=True)(x, dy)
    np.testing.assert_array_equal(found[0], y)
    np.testing.assert_array_equal(found[1], expected)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_nothing_keeps_the_graph_of_a_step(jit_compile):
    maps = keras.Variable(np.ones((1, 8, 8, 8), np.float32))
    normalise, pool = LocalResponseNormalization(), MaxPooling()

    @tf.function(autograph=False, jit_compile=jit_compile)
    def step():
        with tf.GradientTape() as tape:
            pooled = pool(normalise(maps.value))
        return tape.gradient(pooled, maps.value)

    graph = weakref.ref(step.get_concrete_function().graph)
    del step
    gc.collect()
    assert graph() is None


def test_the_built_in_gradient_is_used_outside_xla(monkeypatch):
    used = []
    monkeypatch.setattr(vggf_layers, "max_pool_gradient", lambda x, dy: used.append(1) or tf.zeros_like(x))
    x, dy, layer = tf.reshape(tf.range(50.0), (1, 5, 5, 2)), tf.ones((1, 2, 2, 2)), MaxPooling()

    def in_a_loop():
        total = tf.zeros_like(x)
        for _ in tf.range(2):
            total += value_and_gradient(layer, x, dy)[1]
        return total

    assert tf.reduce_sum(tf.function(in_a_loop)()) == 16
    assert not used
    tf.function(in_a_loop, jit_compile=True)()
    assert used


# The layouts of MatConvNet, with kernels of a few numbers: the reader takes any shape.

MEAN = np.random.default_rng(3).uniform(0, 255, (6, 7, 3)).astype("float32")


def small_layers():
    random = np.random.default_rng(0)
    return {
        name: (random.normal(size=(2, 3, 4, 5)).astype("float32"), random.normal(size=5).astype("float32"))
        for name in (*VGGF_LAYERS, "fc8")
    }


def cell(*values):
    array = np.empty((1, len(values)), object)
    for place, value in enumerate(values):
        array[0, place] = value
    return array


def mat_layers(layers, *, old_fields=False, bias_shape=(1, -1)):
    structs = []
    for name, (kernel, bias) in layers.items():
        bias = bias.reshape(bias_shape)
        fields = {"type": "conv", "name": name, "stride": [1, 1], "pad": [0, 0, 0, 0]}
        fields |= {"filters": kernel, "biases": bias} if old_fields else {"weights": cell(kernel, bias)}
        structs += [fields, {"type": "relu", "name": f"relu_{name}", "weights": np.empty((0, 0), object)}]
    return cell(*structs)


def layout(kind, layers, mean=MEAN):
    normalization = {"averageImage": mean, "imageSize": [6, 7, 3]}
    return {
        "top": {"layers": mat_layers(layers, old_fields=True), "normalization": normalization},
        "net": {"net": {"layers": mat_layers(layers, bias_shape=(-1, 1)), "normalization": normalization}},
        "meta": {"layers": mat_layers(layers), "meta": {"normalization": normalization, "inputs": "data"}},
        "net with meta": {"net": {"layers": mat_layers(layers), "meta": {"normalization": normalization}}},
        "no mean": {"layers": mat_layers(layers)},
    }[kind]


@pytest.fixture
def write(tmp_path):
    """Writes a MAT file of the content, and returns its path."""

    def write(content, **options):
        scipy.io.savemat(tmp_path / "f.mat", content, **options)
        return str(tmp_path / "f.mat")

    return write


@pytest.fixture
def write_mean(tmp_path):
    """Writes an HDF5 file with the mean image under a name, and returns its path."""

    def write_mean(mean, name="Mean"):
        with h5py.File(tmp_path / "Mean.h5", "w") as file:
            file[name] = mean
        return str(tmp_path / "Mean.h5")

    return write_mean


@pytest.mark.parametrize(
    ("kind", "compressed", "mean"),
    [
        ("top", False, MEAN),
        ("net", True, MEAN),
        ("meta", False, np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3)),
        ("net with meta", True, MEAN),
        ("no mean", False, None),
    ],
)
def test_every_layout_gives_the_same_arrays(write, kind, compressed, mean):
    layers = small_layers()
    backwards = dict(reversed(layers.items()))
    file = read_matconvnet(write(layout(kind, backwards, mean), do_compression=compressed))
    assert tuple(file.layers) == VGGF_LAYERS
    for name in VGGF_LAYERS:
        for found, expected in zip(file.layers[name], layers[name], strict=True):
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, expected)
    if mean is None:
        assert file.mean_image is None
    else:
        np.testing.assert_array_equal(file.mean_image, mean.squeeze())


def message(call, *arguments):
    with pytest.raises(WeightsError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_damaged_weights_are_named(write, tmp_path):
    missing = message(read_matconvnet, tmp_path / "imagenet-vgg-f.mat")
    for word in ("imagenet-vgg-f.mat", "MatConvNet", "VLFeat", "MODEL_DIR", "backbone_start='random'"):
        assert word in missing
    whole = Path(write(layout("meta", small_layers()))).read_bytes()
    for content in (b"", whole[:-500]):
        (tmp_path / "f.mat").write_bytes(content)
        assert "f.mat" in message(read_matconvnet, tmp_path / "f.mat")
    for content, word in (
        ({"other": 1}, "none of VGG-F"),
        (layout("top", {name: pair for name, pair in small_layers().items() if name != "conv4"}), "conv4"),
        (layout("net", small_layers() | {"fc6": (np.full((1, 2), np.nan), np.ones(2))}), "fc6: found NaN"),
        (layout("net", small_layers() | {"fc6": ("text", np.ones(2))}), "fc6: found no kernel"),
        (layout("net", small_layers(), np.ones((4, 4))), "averageImage"),
    ):
        assert word in message(read_matconvnet, write(content))


def test_mean_from_h5(write_mean, tmp_path):
    path = tmp_path / "Mean.h5"
    assert "Mean.h5: not found" in message(mean_from_h5, path)
    path.write_bytes(b"no HDF5 file")
    assert "expected an HDF5 file" in message(mean_from_h5, path)
    assert "object 'Mean' doesn't exist" in message(mean_from_h5, write_mean(MEAN, "mean"))
    assert "(6, 7)" in message(mean_from_h5, write_mean(MEAN[..., 0]))
    assert "NaN" in message(mean_from_h5, write_mean(np.full_like(MEAN, np.nan)))
    mean = mean_from_h5(write_mean(MEAN.astype("float64")))
    assert mean.dtype == np.float32
    np.testing.assert_array_equal(mean, MEAN)


# The backbone that settings name, at 64 pixels: the published size costs 220 MB of weights a build.


def load(monkeypatch, **changes):
    monkeypatch.setattr("gch.networks.matconvnet.VGGF_IMAGE_SIZE", 64)
    return load_backbone(load_settings(None, {"netStr": "VGGF", "image_size": 64} | changes))


def test_a_backbone_from_its_files_is_as_wide_as_their_kernels(write, write_mean, monkeypatch):
    inside, beside = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    source = vggf(64, inside, seed=5, widths=SLIM)
    layers = {}
    for name in VGGF_LAYERS:
        kernel, bias = source.get_layer(name).get_weights()
        layers[name] = kernel.reshape((1, 1, *kernel.shape)[-4:]), bias
    path = write(layout("meta", layers, inside))
    backbone = load(monkeypatch, MODEL_DIR=path)
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    assert (backbone.name, backbone.feature_size) == ("vggf", 16)
    np.testing.assert_array_equal(backbone.model(images), source(images))
    random = load(monkeypatch, backbone_start="random").model.get_layer("subtract_mean").mean
    np.testing.assert_allclose(random[5, 7], MEAN_COLOR, rtol=1e-6)

    other = load(monkeypatch, MODEL_DIR=path, meanpath=write_mean(beside))
    np.testing.assert_array_equal(other.model.get_layer("subtract_mean").mean, beside)
    assert other.digest != backbone.digest

    with pytest.raises(WeightsError, match=r"found shape \(32, 64, 3\), expected \(64, 64, 3\)"):
        load(monkeypatch, MODEL_DIR=path, meanpath=write_mean(beside[:32]))
    with pytest.raises(WeightsError, match="mean image: found none"):
        load(monkeypatch, MODEL_DIR=write(layout("no mean", layers)))
    with pytest.raises(SettingError, match="image_size: found 65, expected 64 for the backbone vggf"):
        load(monkeypatch, image_size=65)
    # The model stays as it was where one kernel does not fit.
    broken = {name: (kernel + 1, bias) for name, (kernel, bias) in layers.items()}
    broken["conv2"] = np.zeros((5, 5, 3, 12), "float32"), layers["conv2"][1]
    assert "conv2: found a kernel (5, 5, 3, 12), expected (5, 5, 8, 12)" in message(
        assign_vggf, source, broken, "f.mat"
    )
    np.testing.assert_array_equal(backbone.model(images), source(images))
