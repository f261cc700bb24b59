"""Losses against hand-computed numbers; penalties against analytic gradients."""

import math

import pytest
import torch
from torch import Tensor

from hqgan.training.losses import (
    NO_INFORMATION,
    critic_loss,
    generator_loss,
    gradient_penalty,
    r1_penalty,
)

TOLERANCE = 1e-5
REAL, FAKE = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 1.0])
LABELS = torch.zeros(2, dtype=torch.long)


def log1pexp(x: float) -> float:
    return math.log(1 + math.exp(x))


@pytest.mark.parametrize(
    ("name", "critic", "generator"),
    [
        ("hinge", (0 + 0.5) / 2 + (0 + 2) / 2, 1.0),
        ("wgan-gp", -1 - 1.25, 1.0),
        (
            "non-saturating",
            (log1pexp(-2) + log1pexp(-0.5) + log1pexp(-3) + log1pexp(1)) / 2,
            (log1pexp(3) + log1pexp(-1)) / 2,
        ),
    ],
)
def test_losses_are_their_formulas(name: str, critic: float, generator: float) -> None:
    assert critic_loss(name, REAL, FAKE).item() == pytest.approx(critic, abs=TOLERANCE)
    assert generator_loss(name, FAKE).item() == pytest.approx(generator, abs=TOLERANCE)


def test_bce_is_binary_cross_entropy_on_logits() -> None:
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    expected = bce(REAL, torch.ones(2)) + bce(FAKE, torch.zeros(2))
    torch.testing.assert_close(critic_loss("bce", REAL, FAKE), expected)
    torch.testing.assert_close(generator_loss("bce", FAKE), bce(FAKE, torch.ones(2)))


@pytest.mark.parametrize("name", sorted(NO_INFORMATION))
def test_a_critic_that_answers_zero_sits_at_the_no_information_value(name: str) -> None:
    zero = torch.zeros(4)
    assert critic_loss(name, zero, zero).item() == pytest.approx(NO_INFORMATION[name])


def test_an_unknown_loss_is_named() -> None:
    with pytest.raises(ValueError, match="'lsgan'"):
        critic_loss("lsgan", REAL, FAKE)
    with pytest.raises(ValueError, match="'lsgan'"):
        generator_loss("lsgan", FAKE)


def images(seed: int) -> Tensor:
    return torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


def test_r1_of_a_linear_critic_is_half_gamma_of_its_squared_slope() -> None:
    slope = images(0)[:1]
    penalty = r1_penalty(lambda x, y: (x * slope).sum((1, 2, 3)), images(1), LABELS, gamma=0.3)
    torch.testing.assert_close(penalty, 0.15 * slope.square().sum())


def test_r1_of_a_quadratic_critic_is_half_gamma_of_the_mean_squared_norm() -> None:
    x = images(1)
    penalty = r1_penalty(lambda x, y: x.square().sum((1, 2, 3)) / 2, x, LABELS, gamma=2.0)
    torch.testing.assert_close(penalty, x.square().sum((1, 2, 3)).mean())


def test_penalties_of_a_linear_critic_train_its_slope() -> None:
    slope = images(0)[:1].requires_grad_()
    r1_penalty(lambda x, y: (x * slope).sum((1, 2, 3)), images(1), LABELS, 0.3).backward()
    torch.testing.assert_close(slope.grad, 0.3 * slope.detach())


@pytest.mark.parametrize("length", [0.5, 1.0, 3.0])
def test_gradient_penalty_of_a_linear_critic_is_the_distance_of_its_slope_from_one(
    length: float,
) -> None:
    slope = images(0)[:1]
    slope = length * slope / slope.square().sum().sqrt()
    rng = torch.Generator().manual_seed(0)
    penalty = gradient_penalty(
        lambda x, y: (x * slope).sum((1, 2, 3)), images(1), images(2), LABELS, 10.0, rng
    )
    assert penalty.item() == pytest.approx(10 * (length - 1) ** 2, abs=1e-4)


def test_gradient_penalty_is_taken_between_real_and_fake() -> None:
    """The critic |x|^2 / 2 has the gradient x, so the penalty tells where it was taken."""
    real, fake = torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), 4.0)
    share = torch.rand(1, generator=torch.Generator().manual_seed(7)).item()
    rng = torch.Generator().manual_seed(7)
    penalty = gradient_penalty(
        lambda x, y: x.square().sum((1, 2, 3)) / 2, real, fake, LABELS[:1], 1.0, rng
    )
    assert penalty.item() == pytest.approx((4 * share - 1) ** 2, abs=1e-4)


def test_a_dead_critic_has_a_finite_gradient_penalty() -> None:
    weight = torch.zeros(1, requires_grad=True)
    rng = torch.Generator().manual_seed(0)
    penalty = gradient_penalty(
        lambda x, y: weight * x.sum((1, 2, 3)), images(1), images(2), LABELS, 10.0, rng
    )
    penalty.backward()
    assert penalty.item() == pytest.approx(10.0, rel=1e-3)
    assert torch.isfinite(weight.grad).all()
