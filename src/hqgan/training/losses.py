"""Adversarial losses and gradient penalties: functions of logits, or of a critic and its inputs.

Each pair of losses takes logits (B,), or several an image (B, M), and returns a scalar mean. What a
critic judges may be images (B, C, H, W) or codes (B, n). `NO_INFORMATION` is the critic loss
of a critic that answers 0 to everything; one that stays there does not learn (or is met by perfect
fakes, which the pictures tell).
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Critic = Callable[[Tensor, Tensor], Tensor]

NO_INFORMATION = {"hinge": 2.0, "non-saturating": math.log(4), "bce": math.log(4)}


def critic_loss(name: str, real: Tensor, fake: Tensor) -> Tensor:
    """What the critic minimises.

    hinge: E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))
        (Lim & Ye 2017; Miyato et al. 2018, equation 16)
    wgan-gp: E D(G(z)) - E D(x)
        (Gulrajani et al. 2017, equation 3, without the penalty)
    non-saturating, bce: E softplus(-D(x)) + E softplus(D(G(z)))  (Goodfellow et al. 2014:
        cross-entropy on logits)
    """
    if name == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    if name == "wgan-gp":
        return fake.mean() - real.mean()
    if name in ("non-saturating", "bce"):
        return F.softplus(-real).mean() + F.softplus(fake).mean()
    raise ValueError(f"unknown loss {name!r}")


def generator_loss(name: str, fake: Tensor) -> Tensor:
    """What the generator minimises: E -D(G(z)) for hinge and wgan-gp, else E softplus(-D(G(z)))."""
    if name in ("hinge", "wgan-gp"):
        return -fake.mean()
    if name in ("non-saturating", "bce"):
        return F.softplus(-fake).mean()
    raise ValueError(f"unknown loss {name!r}")


def r1_penalty(critic: Critic, real: Tensor, y: Tensor, gamma: float) -> Tensor:
    """gamma / 2 E |grad D(x)|^2 on real images (Mescheder et al. 2018, arXiv 1801.04406, eq. 9).

    Called every n-th step it must be multiplied by n (lazy regularisation, arXiv 1912.04958,
    appendix B).
    """
    real = real.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(real, y).sum(), real, create_graph=True)
    return gamma / 2 * gradient.square().flatten(1).sum(1).mean()


def gradient_penalty(
    critic: Critic, real: Tensor, fake: Tensor, y: Tensor, weight: float, rng: torch.Generator
) -> Tensor:
    """weight E (|grad D(x~)| - 1)^2 at random points x~ between real and fake.

    Gulrajani et al. 2017, arXiv 1704.00028, equation 3.
    """
    t = torch.rand(len(real), *[1] * (real.ndim - 1), generator=rng).to(real.device)
    between = torch.lerp(real.detach(), fake.detach(), t).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between, y).sum(), between, create_graph=True)
    # The square root has no gradient at 0, where a dead critic may sit.
    norm = (gradient.square().flatten(1).sum(1) + 1e-12).sqrt()
    return weight * (norm - 1).square().mean()
