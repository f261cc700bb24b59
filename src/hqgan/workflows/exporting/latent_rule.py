"""How a generator's latents are distributed, in words that numpy can follow."""

from typing import Any

import numpy as np
import torch

from hqgan.errors import UsageError
from hqgan.models import Generator, latents
from hqgan.models.walking import has_normal_latents
from hqgan.workflows.exporting.standalone.latents import CLASS_STRIDE
from hqgan.workflows.exporting.standalone.latents import latents as in_numpy

ROUNDING = 1e-6  # of float32 logarithms and cosines, at numbers up to about 5


def latent_rule(generator: Generator) -> dict[str, Any]:
    """The part `latents` of the manifest, checked against what the generator itself draws.

    Raises:
        UsageError: a model whose latents are neither standard normal nor uniform from 0.
    """
    rule: dict[str, Any] = {"size": generator.z_dim, "distribution": "normal"}
    if not has_normal_latents(generator):
        rule |= {"distribution": "uniform", "low": 0.0, "high": _highest(generator)}
    labels = [y for y in range(generator.classes) for _ in range(3)]
    theirs, y = next(latents(generator, labels, seed=5, batch=len(labels)))
    ours = in_numpy(rule, y.numpy(), seed=5)
    if ours.shape != theirs.shape or not np.allclose(ours, theirs.numpy(), rtol=0, atol=ROUNDING):
        raise UsageError(
            f"{type(generator).__name__} draws its latents in a way of its own, which is not "
            "standard normal nor uniform from 0; an export could not say how to draw them"
        )
    rule["seed_rule"] = (
        f"each class has a stream of its own, torch.Generator().manual_seed({CLASS_STRIDE} * seed "
        "+ class); its images take one row each, in order; latents.py does the same in numpy"
    )
    return rule


def _highest(generator: Generator) -> float:
    """The end of the interval, from one draw whose uniform numbers are known."""
    known = torch.rand(generator.z_dim, generator=torch.Generator().manual_seed(0)).double()
    drawn = generator.sample_z(1, torch.Generator().manual_seed(0))[0].double()
    most = int(known.argmax())
    return float((drawn[most] / known[most]).float())
