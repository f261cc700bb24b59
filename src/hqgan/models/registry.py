"""Models by name, as presets and snapshots write them."""

from typing import Any

from torch import nn

from hqgan.errors import UsageError
from hqgan.models.classical import DCGANCritic, DCGANGenerator
from hqgan.models.critic import Critic, ProjectionCritic
from hqgan.models.dense_critic import DenseCritic
from hqgan.models.diffusion import DiffusionGenerator
from hqgan.models.fastgan import FastGANGenerator
from hqgan.models.fastgan_critic import FastGANCritic
from hqgan.models.generator import Generator
from hqgan.models.hybridq import HybridQGenerator
from hqgan.models.hybridq_v1 import HybridQV1Critic, HybridQV1Generator
from hqgan.models.latent_gans import LatentQGANGenerator, MosaiQGenerator
from hqgan.models.mediq_v2 import MediqV2Critic, MediqV2Generator
from hqgan.models.quantum_gans import PQWGANGenerator, QPatchGenerator
from hqgan.models.stylegan2 import StyleGAN2Critic, StyleGAN2Generator

GENERATORS: dict[str, type[Generator]] = {
    "hybridq": HybridQGenerator,
    "hybridq-v1": HybridQV1Generator,
    "mediq-v2": MediqV2Generator,
    "dcgan": DCGANGenerator,
    "fastgan": FastGANGenerator,
    "stylegan2": StyleGAN2Generator,
    "ddpm": DiffusionGenerator,
    "qpatch": QPatchGenerator,
    "pqwgan": PQWGANGenerator,
    "mosaiq": MosaiQGenerator,
    "latentqgan": LatentQGANGenerator,
}
CRITICS: dict[str, type[Critic]] = {
    "projection": ProjectionCritic,
    "label-channel": HybridQV1Critic,
    "mediq-v2": MediqV2Critic,
    "dcgan": DCGANCritic,
    "fastgan": FastGANCritic,
    "stylegan2": StyleGAN2Critic,
    "dense": DenseCritic,
}


def build_generator(name: str, classes: int, size: int, **options: Any) -> Generator:
    """A freshly initialised generator; `options` are its constructor's further arguments."""
    return _find(GENERATORS, "generator", name)(classes=classes, size=size, **options)


def build_critic(name: str, classes: int, size: int, **options: Any) -> Critic:
    """A freshly initialised critic, called as D(images, y) -> logits (B,)."""
    return _find(CRITICS, "critic", name)(classes=classes, size=size, **options)


def parameter_count(module: nn.Module) -> int:
    """Numbers in all parameters, frozen ones included."""
    return sum(p.numel() for p in module.parameters())


def _find(table: dict[str, Any], kind: str, name: str) -> Any:
    if name not in table:
        raise UsageError(f"unknown {kind} {name!r}; known are {', '.join(table)}")
    return table[name]
