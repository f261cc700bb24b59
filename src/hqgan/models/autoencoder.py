"""A small convolutional autoencoder whose latents are sets of probability distributions."""

from itertools import pairwise
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqgan.errors import DataError
from hqgan.models.hybridq_v1 import LEAK, preserve_variance, strided_convolutions

START = 4  # edge of the smallest map
WIDTHS = (16, 32, 64, 64, 64)  # channels after each halving
BATCH = 32
LEARNING_RATE = 3e-3


class Autoencoder(nn.Module):
    """Images (B, 3, S, S) in [-1, 1] to latents (B, R x N) and back.

    A latent is R rows of N probabilities, each row the softmax of N numbers, so that R circuits
    whose outcomes have probabilities can produce it. The numbers are batch-normalised: else rows
    stay close to uniform, where the decoder magnifies what circuits get slightly wrong. Strided
    convolutions to 4x4, a linear layer, and transposed convolutions back to a tanh; 0.30 M
    parameters at 64 px and 40 numbers. Parameters and statistics are frozen but while `fit` runs;
    gradients pass through to the inputs.

    Args:
        size: edge of the image, a power of two from 8 to 128 pixels.
        rows: R.
        outcomes: N.
    """

    def __init__(self, size: int, rows: int, outcomes: int):
        super().__init__()
        self.rows, self.outcomes = rows, outcomes
        widths = (3, *WIDTHS[: (size // START).bit_length() - 1])
        self.channels = widths[-1]
        self.convolutions = strided_convolutions(widths)
        self.to_latent = nn.Linear(self.channels * START**2, rows * outcomes)
        self.norm = nn.BatchNorm1d(rows * outcomes, affine=False)
        self.start = nn.Linear(rows * outcomes, self.channels * START**2)
        layers: list[nn.Module] = []
        for channels, narrower in pairwise(widths[::-1]):
            layers += [nn.LeakyReLU(LEAK), nn.ConvTranspose2d(channels, narrower, 4, 2, 1)]
        self.upsample = nn.Sequential(*layers)
        preserve_variance(self)
        self.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode, whatever the generator around it is put into."""
        del mode
        return super().train(False)

    def encode(self, images: Tensor) -> Tensor:
        """Latents (B, R x N), float32."""
        h = self.norm(self.to_latent(self.convolutions(images).flatten(1)).float())
        return h.unflatten(1, (self.rows, self.outcomes)).softmax(-1).flatten(1)

    def decode(self, latents: Tensor) -> Tensor:
        """Images in [-1, 1], float32."""
        # Around 0 and of the order 1: uniform rows are 0, a certain outcome is N - 1.
        h = self.start(self.outcomes * latents - 1)
        h = h.unflatten(1, (self.channels, START, START))
        return torch.tanh(self.upsample(h).float())

    def fit(self, images: np.ndarray, batches: int, rng: torch.Generator) -> None:
        """Lower the mean squared error on uint8 images (N, S, S, 3), by Adam, from where it is.

        That many batches of 32 are drawn with replacement. Cost: 36 M multiplications an image at
        64 px.

        Raises:
            DataError: there is no image.
        """
        if not len(images):
            raise DataError("an autoencoder needs training images, but there are none")
        device = self.start.weight.device
        # The caller may well have switched gradients off.
        with torch.inference_mode(False), torch.enable_grad():
            self.requires_grad_(True)
            self.norm.train()
            optimiser = torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)
            for step in range(batches):
                chosen = torch.randint(len(images), (BATCH,), generator=rng).numpy()
                real = torch.from_numpy(images[chosen]).to(device).permute(0, 3, 1, 2)
                real = real.float() / 127.5 - 1
                loss = F.mse_loss(self.decode(self.encode(real)), real)
                for group in optimiser.param_groups:  # to 0, so that it ends at rest
                    group["lr"] = LEARNING_RATE * (1 - step / batches)
                loss.backward()
                optimiser.step()
                optimiser.zero_grad()
            self.requires_grad_(False)
            self.norm.eval()
