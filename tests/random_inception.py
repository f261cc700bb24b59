"""A state dict of the Inception in its published names, with random weights."""

import torch
from torch import Tensor

from hqgan.evaluation.inception import Inception


def random_state(last_layer: str = "Mixed_7c", seed: int = 0) -> dict[str, Tensor]:
    """Convolutions that keep the variance, and batch norms that are far from the identity."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(channels: int, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(channels, generator=generator)

    state = {}
    for module in Inception(last_layer).convolutions():
        shape = module.conv.weight.shape
        scale = (2 / shape[1:].numel()) ** 0.5
        state[f"{module.name}.conv.weight"] = torch.randn(shape, generator=generator) * scale
        state[f"{module.name}.bn.weight"] = uniform(shape[0], 0.8, 1.2)
        state[f"{module.name}.bn.bias"] = uniform(shape[0], -0.3, 0.3)
        state[f"{module.name}.bn.running_mean"] = uniform(shape[0], -0.3, 0.3)
        state[f"{module.name}.bn.running_var"] = uniform(shape[0], 0.5, 1.5)
    return state
