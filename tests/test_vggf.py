from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import scipy.io
import tensorflow as tf

from gch.errors import WeightsError
from gch.networks.matconvnet import VGGF_LAYERS, assign_vggf, mean_from_h5, read_matconvnet
from gch.networks.vggf import SMALLEST_IMAGE, vggf

GOLDEN = Path(__file__).parent / "golden" / "gch_vggf.npz"
KERNELS = {
    "conv1": (11, 11, 3, 64),
    "conv2": (5, 5, 64, 256),
    "conv3": (3, 3, 256, 256),
    "conv4": (3, 3, 256, 256),
    "conv5": (3, 3, 256, 256),
    "fc6": (6, 6, 256, 4096),
    "fc7": (1, 1, 4096, 4096),
}


def golden_weights():
    random = np.random.RandomState(11)
    for name, shape in KERNELS.items():
        kernel = random.randn(*shape)
        kernel *= np.sqrt(2 / np.prod(shape[:3]))
        kernel = kernel.astype("float32") / np.float32(60 if name == "conv1" else 1)
        yield name, (kernel, (random.randn(shape[3]) * 0.01).astype("float32"))


def test_forward_agrees_with_the_original():
    golden = np.load(GOLDEN)
    model = vggf(mean_image=np.zeros(3), seed=0)
    assign_vggf(model, dict(golden_weights()), "drawn")
    taps = keras.Model(
        model.input, [model.get_layer(name).output for name in ("pool1", "pool2", "pool5", "fc6", "fc7")]
    )
    images = np.random.RandomState(500).uniform(-128, 128, (2, 224, 224, 3)).astype("float32")
    pool1, pool2, pool5, fc6, fc7 = (tensor.numpy() for tensor in taps(images))
    for found, name in (
        (pool1[:, ::6, ::6], "pool1_sub"),
        (pool2[:, ::4, ::4], "pool2_sub"),
        (pool5, "pool5"),
        (fc6[:, None, None], "relu6"),
        (fc7[:, None, None], "relu7"),
    ):
        np.testing.assert_allclose(found, golden[name], rtol=1e-4, atol=2e-5, err_msg=name)


def test_the_form_of_agah_agrees_with_its_original():
    """Its pictures and kernels are those of the other golden file, transposed in height and width."""
    golden = np.load(GOLDEN.with_name("agah_vgg.npz"))
    model = vggf(mean_image=np.zeros(3), seed=0, as_agah=True)
    assign_vggf(model, dict(golden_weights()), "drawn")
    taps = keras.Model(
        model.input, [model.get_layer(name).output for name in ("pool1", "pool5", "fc6", "fc7")]
    )
    images = np.random.RandomState(500).uniform(0, 255, (2, 3, 224, 224)).astype("float32")
    pool1, pool5, fc6, fc7 = (tensor.numpy() for tensor in taps(images.transpose(0, 3, 2, 1)))
    assert pool1.shape == (2, 28, 28, 64)  # VGG-F: 27 x 27
    for found, name in (
        (pool1.transpose(0, 3, 2, 1)[:, :, ::6, ::6], "pool1_sub"),
        (pool5.transpose(0, 3, 2, 1), "pool5"),
        (fc6[:, :, None, None], "relu6"),
        (fc7[:, :, None, None], "relu7"),
    ):
        np.testing.assert_allclose(found, golden[name], rtol=1e-4, atol=5e-5, err_msg=name)


def test_smaller_images_and_the_mean_image_survive_a_round_trip(tmp_path):
    mean = np.random.default_rng(0).uniform(0, 255, (64, 64, 3)).astype("float32")
    model = vggf(64, mean, seed=1)
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    features = model(images).numpy()
    assert features.shape == (2, 4096)
    assert features.min() == 0
    np.testing.assert_array_equal(model(images.astype("float32")), features)
    compiled = tf.function(model, jit_compile=True)
    np.testing.assert_allclose(compiled(images), features, rtol=1e-4, atol=1e-3)

    model.save(tmp_path / "vggf.keras")
    loaded = keras.saving.load_model(tmp_path / "vggf.keras")
    np.testing.assert_array_equal(loaded.get_layer("subtract_mean").mean, mean)
    np.testing.assert_array_equal(loaded(images), features)


def test_a_seed_names_the_start():
    one, same, other = (vggf(64, seed=seed).get_layer("conv3").kernel.numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_images_too_small_are_refused():
    with pytest.raises(ValueError, match="VGG-F needs 64"):
        vggf(SMALLEST_IMAGE - 1)


# The layouts are tested with kernels of a few numbers: the reader takes any shape.


def small_layers():
    random = np.random.default_rng(0)
    return {
        name: (random.normal(size=(2, 3, 4, 5)).astype("float32"), random.normal(size=5).astype("float32"))
        for name in (*VGGF_LAYERS, "fc8")
    }


def cell(*values):
    array = np.empty((1, len(values)), object)
    array[0, :] = values
    return array


def cell_of_two(kernel, bias):
    array = np.empty((1, 2), object)
    array[0, 0], array[0, 1] = kernel, bias
    return array


def mat_layers(layers, *, old_fields=False, bias_shape=(1, -1)):
    structs = []
    for name, (kernel, bias) in layers.items():
        bias = bias.reshape(bias_shape)
        fields = {"type": "conv", "name": name, "stride": [1, 1], "pad": [0, 0, 0, 0]}
        if old_fields:
            fields |= {"filters": kernel, "biases": bias}
        else:
            fields["weights"] = cell_of_two(kernel, bias)
        structs += [fields, {"type": "relu", "name": f"relu_{name}", "weights": np.empty((0, 0), object)}]
    return cell(*structs)


MEAN = np.random.default_rng(3).uniform(0, 255, (6, 7, 3)).astype("float32")


def layout(kind, layers, mean=MEAN):
    normalization = {"averageImage": mean, "imageSize": [6, 7, 3]}
    return {
        "top": {
            "layers": mat_layers(layers, old_fields=True, bias_shape=(1, -1)),
            "normalization": normalization,
        },
        "net": {"net": {"layers": mat_layers(layers, bias_shape=(-1, 1)), "normalization": normalization}},
        "meta": {"layers": mat_layers(layers), "meta": {"normalization": normalization, "inputs": "data"}},
        "net with meta": {"net": {"layers": mat_layers(layers), "meta": {"normalization": normalization}}},
    }[kind]


def write(path, content, **options):
    scipy.io.savemat(path, content, **options)
    return path


@pytest.mark.parametrize("kind", ["top", "net", "meta", "net with meta"])
@pytest.mark.parametrize("compressed", [False, True])
def test_every_layout_gives_the_same_arrays(tmp_path, kind, compressed):
    layers = small_layers()
    file = read_matconvnet(write(tmp_path / "f.mat", layout(kind, layers), do_compression=compressed))
    assert tuple(file.layers) == VGGF_LAYERS
    for name in VGGF_LAYERS:
        for found, expected in zip(file.layers[name], layers[name], strict=True):
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(file.mean_image, MEAN)


def test_a_mean_colour_and_no_mean_at_all(tmp_path):
    colour = np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3)
    file = read_matconvnet(write(tmp_path / "a.mat", layout("meta", small_layers(), colour)))
    np.testing.assert_array_equal(file.mean_image, np.array([1, 2, 3], "float32"))
    file = read_matconvnet(write(tmp_path / "b.mat", {"layers": mat_layers(small_layers())}))
    assert file.mean_image is None


def refused(call, *arguments):
    with pytest.raises(WeightsError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_missing_file_says_what_it_is(tmp_path):
    message = refused(read_matconvnet, tmp_path / "imagenet-vgg-f.mat")
    for word in ("imagenet-vgg-f.mat", "MatConvNet", "VLFeat", "MODEL_DIR", "backbone_start='random'"):
        assert word in message


def test_what_is_no_mat_file_is_refused(tmp_path):
    whole = write(tmp_path / "whole.mat", layout("meta", small_layers())).read_bytes()
    for i, content in enumerate((b"", b"no MAT file" * 100, whole[:200], whole[:-500])):
        path = tmp_path / f"{i}.mat"
        path.write_bytes(content)
        assert str(path) in refused(read_matconvnet, path)


def test_broken_layers_are_named(tmp_path):
    path = tmp_path / "f.mat"
    assert "none of VGG-F" in refused(read_matconvnet, write(path, {"layers": cell({"name": "pool9"})}))
    assert "none of VGG-F" in refused(read_matconvnet, write(path, {"other": 1}))
    layers = small_layers()
    del layers["conv4"]
    assert "conv4" in refused(read_matconvnet, write(path, layout("top", layers)))
    layers = small_layers()
    layers["fc6"][0][0, 0, 0, 0] = np.nan
    assert "fc6: found NaN" in refused(read_matconvnet, write(path, layout("net", layers)))
    assert "averageImage" in refused(
        read_matconvnet, write(path, layout("net", small_layers(), np.ones((4, 4))))
    )


def test_a_kernel_of_another_shape_is_named():
    layers = {
        name: (np.zeros(shape, "float32"), np.zeros(shape[3], "float32")) for name, shape in KERNELS.items()
    }
    layers["fc6"] = (np.zeros((1, 1, 256, 4096), "float32"), layers["fc6"][1])
    model = vggf(64)
    before = model.get_layer("conv1").kernel.numpy()
    assign = dict(layers)
    assign["conv2"] = (np.zeros((5, 5, 3, 256), "float32"), layers["conv2"][1])
    message = refused(assign_vggf, model, assign, "f.mat")
    assert "conv2" in message
    assert "(5, 5, 3, 256)" in message
    assert "(5, 5, 64, 256)" in message
    np.testing.assert_array_equal(model.get_layer("conv1").kernel, before)
    assign_vggf(model, layers, "f.mat")
    assert not model.get_layer("conv1").kernel.numpy().any()


def test_mean_from_h5(tmp_path):
    path = tmp_path / "Mean.h5"
    assert "not found" in refused(mean_from_h5, path)
    path.write_bytes(b"no HDF5 file")
    assert "HDF5" in refused(mean_from_h5, path)
    for content, word in ((("mean", MEAN), "found only mean"), (("Mean", MEAN[..., 0]), "(6, 7)")):
        with h5py.File(path, "w") as file:
            file[content[0]] = content[1]
        assert word in refused(mean_from_h5, path)
    with h5py.File(path, "w") as file:
        file["Mean"] = np.full_like(MEAN, np.nan)
    assert "NaN" in refused(mean_from_h5, path)
    with h5py.File(path, "w") as file:
        file["Mean"] = MEAN.astype("float64")
    mean = mean_from_h5(path)
    assert mean.dtype == np.float32
    np.testing.assert_array_equal(mean, MEAN)
