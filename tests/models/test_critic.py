"""The critic: logits, the deviation channel, and an initialisation that keeps the scale."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from hqgan.models import ProjectionCritic
from hqgan.models.critic import minibatch_deviation

SCALE_KEPT = 2.0  # a layer's variance may change by this factor at most


@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_there_is_one_logit_an_image(size: int) -> None:
    critic = ProjectionCritic(7, size, width=8)
    logits = critic(torch.randn(4, 3, size, size), torch.arange(4))
    assert logits.shape == (4,)
    assert logits.dtype == torch.float32


def test_the_logit_depends_on_label_and_image() -> None:
    critic = ProjectionCritic(7, 32, width=8)
    images = torch.randn(4, 3, 32, 32)
    one, two = critic(images, torch.zeros(4).long()), critic(images, torch.ones(4).long())
    assert (one - two).abs().min() > 1e-4
    assert one.std() > 1e-4


def test_gradients_reach_every_parameter_and_the_image() -> None:
    critic = ProjectionCritic(3, 32, width=8)
    images = torch.randn(4, 3, 32, 32, requires_grad=True)
    critic(images, torch.tensor([0, 1, 2, 0])).square().sum().backward()
    for name, p in critic.named_parameters():
        assert p.grad.abs().max() > 0, name
    assert images.grad.abs().max() > 0


@pytest.mark.parametrize("size", [32, 64, 128])
def test_the_initialisation_keeps_the_variance_of_the_signal(size: int) -> None:
    """Measured from layer to layer, before the non-linearity, on white noise of variance 1."""
    torch.manual_seed(0)
    critic = ProjectionCritic(7, size, width=32).eval()
    squares: list[float] = []
    for module in critic.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module is not critic.logit:
            module.register_forward_hook(
                lambda module, inputs, output: squares.append(output.square().mean().item())
            )
    with torch.no_grad():
        critic(torch.randn(16, 3, size, size), torch.zeros(16).long())
    # Zero padding takes a part of each border pixel's inputs, which tells most at 4x4.
    inside = squares[:-2]
    assert all(1 / SCALE_KEPT < b / a < SCALE_KEPT for a, b in pairwise(inside))
    assert 0.25 < squares[-1] / squares[0] < 4


def test_identical_images_deviate_by_nothing() -> None:
    x = torch.randn(1, 5, 4, 4).expand(8, -1, -1, -1)
    joined = minibatch_deviation(x)
    assert joined.shape == (8, 6, 4, 4)
    assert torch.equal(joined[:, :5], x)
    assert joined[:, 5].abs().max() < 1e-3


def test_groups_are_neighbours() -> None:
    """Four equal images, then four different ones: the first group sees none of the others."""
    equal = torch.randn(1, 5, 4, 4).expand(4, -1, -1, -1)
    different = torch.randn(4, 5, 4, 4)
    channel = minibatch_deviation(torch.cat([equal, different]))[:, 5]
    assert channel[:4].abs().max() < 1e-3
    expected = (different.var(0, unbiased=False) + 1e-8).sqrt().mean()
    torch.testing.assert_close(channel[4:], expected.expand(4, 4, 4))


@pytest.mark.parametrize("batch", [1, 3, 10])
def test_a_batch_that_four_does_not_divide_is_one_group(batch: int) -> None:
    x = torch.randn(batch, 5, 4, 4)
    channel = minibatch_deviation(x)[:, 5]
    expected = (x.var(0, unbiased=False) + 1e-8).sqrt().mean()
    torch.testing.assert_close(channel, expected.expand(batch, 4, 4))


@pytest.mark.parametrize("size", [8, 48])
def test_a_size_it_cannot_halve_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"size is {size}"):
        ProjectionCritic(7, size)
