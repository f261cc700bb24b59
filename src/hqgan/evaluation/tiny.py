"""A small fixed network in the place of the Inception, for demos and tests without weights."""

import hashlib
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SEED = 2015
INPUT_SIZE = 32  # pixels, both sides
WIDTHS = (16, 24, 24)
DIM = sum(WIDTHS)


class TinyNet(nn.Module):
    """Three seeded random convolutions; the spatial means of their outputs are the 64 features.

    `forward` takes (B, 3, 32, 32) in [-1, 1] and returns {"tiny": (B, 64)}. Random features tell
    colour, contrast and texture apart, but nothing in them was learned: their distances compare
    one run with another and mean no more.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(wide, wider, 3, stride=2, padding=1) for wide, wider in pairwise((3, *WIDTHS))
        )
        generator = torch.Generator().manual_seed(SEED)
        for parameter in self.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else len(parameter)
            parameter.data.normal_(std=(2.0 / fan_in) ** 0.5, generator=generator)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        means = []
        for conv in self.convs:
            x = F.relu(conv(x))
            means.append(x.mean(dim=(2, 3)))
        return {"tiny": torch.cat(means, dim=1)}

    def sha256(self) -> str:
        """Identifies the weights, as the sha256 of a file does."""
        digest = hashlib.sha256()
        for parameter in self.parameters():
            digest.update(parameter.detach().cpu().numpy().tobytes())
        return digest.hexdigest()
