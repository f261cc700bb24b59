"""The classifiers cost what they may, MobileNetV2 is the published one, and refusals say why."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from hqgan.data import load_dataset, to_float
from hqgan.errors import HqganError, MissingExtra, UsageError
from hqgan.models.classifier import (
    CLASSIFIERS,
    Classifier,
    MobileNetV2,
    SmallResNet,
    build_classifier,
)
from hqgan.models.mobilenet import MobileNet, SameConv2d
from hqgan.models.registry import parameter_count

MOST_MACS = 30e6  # of the small ResNet at 64 px, by the issue
IMAGENET_PARAMETERS = 3_504_872  # of torchvision's mobilenet_v2 with 1000 classes
CONVOLUTION_ATOL = 1e-5
SIDE = 32  # MobileNetV2 at the smallest side it can be tested with


@pytest.fixture(scope="module")
def weights(request: pytest.FixtureRequest) -> Path:
    """The converted ImageNet weights in shared/weights."""
    name = "mobilenet_v2_1.0_224_imagenet1001.safetensors"
    file: Path = request.getfixturevalue("shared") / "weights" / name
    if not file.is_file():
        pytest.skip(f"{name} is not in the shared folder")
    return file


def noise(count: int, size: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, size, size, generator=rng) * 2 - 1


def macs(classifier: Classifier, size: int) -> float:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        classifier.eval()(torch.zeros(1, 3, size, size))
    return counter.get_total_flops() / 2


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("size", [32, 64, 128])
def test_images_of_any_size_become_logits_in_float32(name: str, size: int) -> None:
    classifier = CLASSIFIERS[name](5, size).eval()
    images = noise(2, size)
    with torch.no_grad():
        logits, features = classifier(images), classifier.features(images)
    assert logits.shape == (2, 5)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(classifier.head(features), logits)


def test_logits_are_float32_under_autocast_too() -> None:
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert SmallResNet(3, 32)(noise(2, 32)).dtype == torch.float32


def test_the_small_resnet_stays_below_thirty_million_multiplications() -> None:
    assert macs(build_classifier("resnet-small", 7, 64), 64) <= MOST_MACS


def test_a_block_of_the_small_resnet_starts_as_its_shortcut() -> None:
    classifier = SmallResNet(3, 32).eval()
    with torch.no_grad():
        stem = classifier.stem(noise(2, 32))
        block = classifier.blocks[0]
        assert torch.equal(block(stem), block.shortcut(stem).relu())


def test_the_generator_of_torch_decides_the_first_weights() -> None:
    def weight(seed: int) -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return build_classifier("resnet-small", 7, 32).logits.weight

    assert torch.equal(weight(1), weight(1))
    assert not torch.equal(weight(1), weight(2))


def test_mobilenet_has_the_layers_of_the_published_one() -> None:
    network = MobileNet(1000)
    assert parameter_count(network) == IMAGENET_PARAMETERS
    assert sum(isinstance(m, SameConv2d | torch.nn.Conv2d) for m in network.modules()) == 52


@pytest.mark.parametrize("edge", [6, 7, 10, 11])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3])
def test_same_padding_is_tensorflows(edge: int, stride: int, kernel: int) -> None:
    """Against its definition, window by window; on an even edge stride 2 starts at the corner."""
    layer = SameConv2d(2, 4, kernel, stride, bias=False)
    x = noise(1, edge)[:, :2]
    seen = layer(x)
    outputs = -(-edge // stride)
    assert seen.shape == (1, 4, outputs, outputs)
    first = max((outputs - 1) * stride + kernel - edge, 0) // 2
    assert first == (kernel == 3 and (stride == 1 or edge % 2 == 1))
    for i in range(outputs):
        for j in range(outputs):
            total = torch.zeros(4)
            for di in range(kernel):
                for dj in range(kernel):
                    row, column = i * stride + di - first, j * stride + dj - first
                    if 0 <= row < edge and 0 <= column < edge:
                        total += layer.weight[:, :, di, dj] @ x[0, :, row, column]
            torch.testing.assert_close(seen[0, :, i, j], total, atol=CONVOLUTION_ATOL, rtol=0)


def test_every_entry_of_the_published_weights_has_its_place(weights: Path) -> None:
    published = {name: entry.shape for name, entry in load_file(weights).items()}
    ours = {
        name: entry.shape
        for name, entry in MobileNet(1001).state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert ours == published


def test_a_built_mobilenet_holds_the_published_weights_and_a_new_head(weights: Path) -> None:
    classifier = build_classifier("mobilenet-v2", 7, 64, str(weights))
    assert isinstance(classifier, MobileNetV2)
    published = load_file(weights)
    ours = classifier.network.state_dict()
    for name, entry in published.items():
        if name.startswith("classifier."):
            assert ours[name].shape[0] == 7
        else:
            assert torch.equal(ours[name], entry)


def test_published_features_tell_lesions_apart(weights: Path, ham10000: Path) -> None:
    """A linear probe, folds by lesion, at most 40 images a class: chance is a seventh."""
    val = load_dataset(ham10000, "val", 64)
    rows = np.concatenate([np.flatnonzero(val.labels == k)[:40] for k in range(len(val.classes))])
    classifier = build_classifier("mobilenet-v2", 7, 64, str(weights)).eval()
    with torch.inference_mode():
        parts = to_float(val.images[rows]).split(64)
        features = torch.cat([classifier.features(part) for part in parts]).numpy()
    labels = val.labels[rows]
    probe = LogisticRegression(C=0.01, max_iter=1000)
    guesses = cross_val_predict(
        probe, features, labels, groups=val.groups[rows], cv=GroupKFold(n_splits=4)
    )
    shuffled = np.random.default_rng(0).permutation(labels)
    assert balanced_accuracy_score(labels, guesses) > 0.3
    assert balanced_accuracy_score(shuffled, guesses) < 0.25


def test_mobilenet_sees_pixels_as_google_scaled_them() -> None:
    classifier = MobileNetV2(3, SIDE, side=SIDE).eval()
    pixels = torch.randint(256, (2, 3, SIDE, SIDE)).float()
    with torch.no_grad():
        seen = classifier.features(pixels / 127.5 - 1)
        expected = classifier.network((pixels - 128) / 128)
    torch.testing.assert_close(seen, expected)


def test_batch_norm_of_mobilenet_does_not_learn_the_batch() -> None:
    """In training an image's features do not depend on its batch mates."""
    classifier = MobileNetV2(3, SIDE, side=SIDE).train()
    images = noise(4, SIDE)
    together = classifier.features(images)
    alone = classifier.features(images[:1])
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)
    together.sum().backward()
    statistics = [b for name, b in classifier.named_buffers() if name.endswith("running_mean")]
    assert all((mean == 0).all() for mean in statistics)
    assert all(p.grad is not None for p in classifier.network.features.parameters())


@pytest.mark.parametrize("damage", ["missing", "cut", "another network", "another shape", "nan"])
def test_weights_that_cannot_be_used_are_refused_with_advice(damage: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    state = {k: v.contiguous() for k, v in MobileNet(10).state_dict().items()}
    name = "features.1.conv.1.weight"
    if damage == "another network":
        state = {"layer.weight": torch.zeros(3)}
    elif damage == "another shape":
        state[name] = torch.zeros(2, 2)
    elif damage == "nan":
        state[name][0] = torch.nan
    if damage != "missing":
        save_file(state, file)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(HqganError, match="weights"):
        build_classifier("mobilenet-v2", 3, 64, str(file))


def test_weights_are_read_without_their_head(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    headless = {k: v for k, v in MobileNet(2).state_dict().items() if "classifier" not in k}
    save_file(headless, file)
    classifier = build_classifier("mobilenet-v2", 3, 64, str(file))
    assert isinstance(classifier, MobileNetV2)
    first = "features.0.0.weight"
    assert torch.equal(classifier.network.state_dict()[first], headless[first])


def test_requests_that_make_no_sense_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="known are resnet-small, mobilenet-v2, timm:NAME"):
        build_classifier("resnet-big", 7, 64)
    with pytest.raises(UsageError, match="in the study file: classifier"):
        build_classifier("mobilenet-v2", 7, 64)
    with pytest.raises(UsageError, match="from scratch"):
        build_classifier("resnet-small", 7, 64, "file.safetensors")
    with pytest.raises(UsageError, match="from 16 px up, got 8"):
        build_classifier("resnet-small", 7, 8)


@pytest.mark.skipif(importlib.util.find_spec("timm") is not None, reason="timm is installed")
def test_without_timm_the_error_names_the_extra() -> None:
    with pytest.raises(MissingExtra, match=r"hqgan\[vision\]"):
        build_classifier("timm:resnet18", 7, 64)


def test_a_timm_without_its_torchvision_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What timm does where torchvision is missing: it is found, and its import fails."""
    (tmp_path / "timm.py").write_text("import torchvision_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "timm", raising=False)
    with pytest.raises(HqganError, match="needs a torchvision that fits"):
        build_classifier("timm:resnet18", 7, 64)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
def test_features_equal_torchvisions_with_that_padding(weights: Path) -> None:
    models = pytest.importorskip("torchvision.models", exc_type=(ImportError, RuntimeError))
    theirs = models.mobilenet_v2(num_classes=1001).eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.Conv2d) and module.stride == (2, 2):
            module.padding = (0, 0)
            module.register_forward_pre_hook(lambda _, x: (F.pad(x[0], (0, 1, 0, 1)),))
    theirs.load_state_dict(load_file(weights), strict=False)
    ours = build_classifier("mobilenet-v2", 7, 96, str(weights)).eval()
    images = noise(2, 96)
    with torch.inference_mode():
        expected = theirs.features((images * 127.5 - 0.5) / 128).mean((2, 3))
        torch.testing.assert_close(ours.features(images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
def test_a_timm_model_becomes_a_classifier(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", exc_type=(ImportError, RuntimeError))
    file = tmp_path / "resnet18.safetensors"
    published = timm.create_model("resnet18")
    save_file(published.state_dict(), file)
    classifier = build_classifier("timm:resnet18", 7, 64, str(file)).eval()
    assert torch.equal(classifier.network.conv1.weight, published.conv1.weight)
    with torch.inference_mode():
        features = classifier.features(noise(2, 64))
        assert features.shape == (2, 512)
        torch.testing.assert_close(classifier.head(features), classifier(noise(2, 64)))
    with pytest.raises(HqganError, match="expected a safetensors file"):
        build_classifier("timm:resnet18", 7, 64, str(tmp_path / "resnet18.pth"))
    with pytest.raises(HqganError, match="Unknown model"):
        build_classifier("timm:nonsense", 7, 64)
