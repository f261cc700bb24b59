"""The Inception is wired as published, folds its batch norms exactly and reads what is there."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from hqgan.evaluation.inception import (
    BATCH_NORM_EPS,
    LAYER_DIMS,
    Conv,
    Inception,
    deepest_layer,
)
from random_inception import random_state

FOLD_RTOL = 1e-4  # float32, the order of multiplications differs
BATCH_ATOL = 1e-5  # the CPU kernels choose their blocking by batch size
PUBLISHED_CONVOLUTIONS = 94
# torchvision's inception_v3 without fc and the auxiliary head: weights, then gain and bias
PUBLISHED_PARAMETERS = 21_785_568
RECORDED_WITH = "f32244d578169d5a87176a07d4d88cf4eb806bc55e10bd5848b94dc49ddc8082"
RECORDED = torch.tensor([0.01507, 0.00626, 0.02188, 0.00335, 0.03913, 0.00046])
RECORDED_RTOL = 1e-3  # five decimals were recorded
RECORDED_ATOL = 1e-5


def images(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, 299, 299, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_it_has_the_published_number_of_convolutions_and_weights() -> None:
    convolutions = Inception("Mixed_7c").convolutions()
    assert len(convolutions) == PUBLISHED_CONVOLUTIONS
    weights = sum(c.conv.weight.numel() for c in convolutions)
    channels = sum(c.conv.out_channels for c in convolutions)
    assert weights + 2 * channels == PUBLISHED_PARAMETERS


def test_each_layer_reads_as_many_features_as_published() -> None:
    network = Inception("Mixed_7c").eval()
    with torch.inference_mode():
        means = network(images(1))
    assert {layer: mean.shape for layer, mean in means.items()} == {
        layer: (1, dim) for layer, dim in LAYER_DIMS.items()
    }


def test_folding_equals_convolution_then_batch_norm_then_relu() -> None:
    state = random_state("Mixed_6e")
    network = Inception("Mixed_6e")
    network.load(state)
    first = network.layers["Conv2d_1a_3x3"]
    assert isinstance(first, Conv)
    batch = images(1)
    with torch.inference_mode():
        x = F.conv2d(batch, state["Conv2d_1a_3x3.conv.weight"], stride=2)
        x = F.batch_norm(
            x,
            state["Conv2d_1a_3x3.bn.running_mean"],
            state["Conv2d_1a_3x3.bn.running_var"],
            state["Conv2d_1a_3x3.bn.weight"],
            state["Conv2d_1a_3x3.bn.bias"],
            eps=BATCH_NORM_EPS,
        )
        torch.testing.assert_close(first(batch), F.relu(x), rtol=FOLD_RTOL, atol=FOLD_RTOL)


def test_the_average_branch_equals_pooling_before_the_convolution() -> None:
    """We pool after the 1x1 convolution, the paper before it: the same, also at the border."""
    state = random_state("Mixed_6e")
    network = Inception("Mixed_6e")
    network.load(state)
    branch = network.layers["Mixed_5b"].branches[-1]
    conv, pool, relu = branch
    x = torch.randn(1, 192, 9, 9, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(branch(x), relu(conv(pool(x))), rtol=FOLD_RTOL, atol=FOLD_RTOL)


def test_features_of_an_image_do_not_depend_on_its_batch() -> None:
    network = Inception("Mixed_6e").eval()
    network.load(random_state("Mixed_6e"))
    batch = images(3)
    with torch.inference_mode():
        together = network(batch)["Mixed_6e"]
        alone = torch.cat([network(image[None])["Mixed_6e"] for image in batch])
    torch.testing.assert_close(together, alone, rtol=FOLD_RTOL, atol=BATCH_ATOL)


def test_the_real_weights_give_what_torch_fidelity_gives(inception_weights: Path) -> None:
    """Recorded from torch-fidelity 0.4.0 on this picture; tests/oracles compares all features."""
    if hashlib.sha256(inception_weights.read_bytes()).hexdigest() != RECORDED_WITH:
        pytest.skip("the numbers were recorded with other weights")
    y, x = np.mgrid[0:299, 0:299] / 298
    waves = np.stack([np.sin(9 * x + 5 * y), np.cos(7 * y), np.sin(20 * x * y)])
    pixels = torch.from_numpy(np.round(127.5 + 127.5 * waves).clip(0, 255)).float()
    network = Inception("Mixed_6e").eval()
    network.load(load_file(inception_weights))
    with torch.inference_mode():
        found = network((pixels[None] - 128) / 128)["Mixed_6e"][0]  # their map to [-1, 1]
    torch.testing.assert_close(found[::128], RECORDED, rtol=RECORDED_RTOL, atol=RECORDED_ATOL)


def test_a_state_dict_that_does_not_fit_is_told_which_entry_is_wrong() -> None:
    state = random_state("Mixed_6e")
    network = Inception("Mixed_6e")
    with pytest.raises(ValueError, match=r"no 'Mixed_6e\.branch1x1\.bn\.bias'"):
        network.load({k: v for k, v in state.items() if k != "Mixed_6e.branch1x1.bn.bias"})
    state["Conv2d_1a_3x3.conv.weight"] = torch.zeros(32, 1, 3, 3)
    with pytest.raises(ValueError, match=r"shape \(32, 1, 3, 3\), expected \(32, 3, 3, 3\)"):
        network.load(state)
    with pytest.raises(ValueError, match="'Mixed_5b', expected one of"):
        Inception("Mixed_5b")


def test_the_deepest_layer_is_read_from_the_names() -> None:
    assert deepest_layer(random_state("Mixed_7c")) == "Mixed_7c"
    assert deepest_layer(random_state("Mixed_6e")) == "Mixed_6e"
    assert deepest_layer({"fc.weight": torch.zeros(1)}) is None
