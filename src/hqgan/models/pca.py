"""Principal components of images: fitted once, then a linear map there and back."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from hqgan.errors import DataError

OVERSAMPLING = 2  # directions followed for each one asked for, so that the last ones converge
POWER_STEPS = 6  # passes that sharpen the subspace
BLOCK = 1024  # images turned into floats at once


class PrincipalComponents(nn.Module):
    """Images (B, 3, S, S) in [-1, 1] to codes (B, n) and back.

    A code is the image's coordinates along the first n principal components of the training images,
    by one affine map for all of them scaled so that the whole training set spans exactly [-1, 1].
    Until `fit` the components are a random orthonormal basis and the scale is 1. All state is in
    buffers.

    Args:
        size: edge of the image, pixels.
        components: n.
    """

    mean: Tensor
    components: Tensor
    low: Tensor
    span: Tensor

    def __init__(self, size: int, components: int):
        super().__init__()
        self.size = size
        pixels = 3 * size**2
        self.register_buffer("mean", torch.zeros(pixels))
        self.register_buffer("components", nn.init.orthogonal_(torch.empty(components, pixels)))
        self.register_buffer("low", torch.tensor(-1.0))
        self.register_buffer("span", torch.tensor(2.0))

    def encode(self, images: Tensor) -> Tensor:
        """Differentiable, in float32 under autocast too; undoes `decode`."""
        with torch.autocast(images.device.type, enabled=False):
            coordinates = (images.float().flatten(1) - self.mean) @ self.components.T
            return 2 * (coordinates - self.low) / self.span - 1

    def decode(self, codes: Tensor) -> Tensor:
        """Differentiable, in float32; images of codes unlike the training set's leave [-1, 1]."""
        with torch.autocast(codes.device.type, enabled=False):
            coordinates = (codes.float() + 1) / 2 * self.span + self.low
            images = self.mean + coordinates @ self.components
        return images.unflatten(1, (3, self.size, self.size))

    @torch.no_grad()
    def fit(self, images: np.ndarray, rng: torch.Generator) -> None:
        """Find mean, components and scale of uint8 images (N, S, S, 3).

        By randomised subspace iteration (Halko, Martinsson & Tropp 2011, arXiv 0909.4061, algorithm
        4.4), in float32 and in blocks: the images are never all floats at once. Time O(24 N D n)
        for D pixels.

        Raises:
            DataError: N images have at most N - 1 components; or all are the same image.
        """
        wanted, pixels = self.components.shape
        if len(images) <= wanted:
            raise DataError(
                f"{wanted} principal components need at least {wanted + 1} training images, but "
                f"there are {len(images)}; add images, or choose a model that needs none of them"
            )
        device = self.mean.device
        total = torch.zeros_like(self.mean, dtype=torch.float64)
        for block in _blocks(images, device):
            total += block.sum(0, dtype=torch.float64)
        mean = (total / len(images)).float()
        directions = min(OVERSAMPLING * wanted, pixels)
        start = torch.randn(pixels, directions, generator=rng).to(device)
        basis = torch.linalg.qr(start).Q
        for _ in range(POWER_STEPS):
            product = torch.zeros_like(basis)
            for block in _blocks(images, device):
                centred = block - mean
                product += centred.T @ (centred @ basis)
            basis = torch.linalg.qr(product).Q
        projected = torch.cat([(block - mean) @ basis for block in _blocks(images, device)])
        turn = torch.linalg.svd(projected, full_matrices=False).Vh[:wanted]
        components = turn @ basis.T
        # A component's sign is a convention: its largest pixel is positive.
        largest = components.gather(1, components.abs().argmax(1, keepdim=True))
        sign = largest.sign()
        coordinates = projected @ turn.T * sign.T
        low, high = coordinates.min(), coordinates.max()
        if not low < high:
            raise DataError(
                f"all {len(images)} training images are the same: they have no principal components"
            )
        self.mean.copy_(mean)
        self.components.copy_(components * sign)
        self.low.copy_(low)
        self.span.copy_(high - low)


def _blocks(images: np.ndarray, device: torch.device) -> Iterator[Tensor]:
    """Flat images (b, 3 S S) in [-1, 1], channel by channel as an image tensor is."""
    for first in range(0, len(images), BLOCK):
        block = torch.tensor(images[first : first + BLOCK], device=device)
        yield block.permute(0, 3, 1, 2).flatten(1).float() / 127.5 - 1
