"""What every generator offers to training, sampling and sharing.

A generator is an `nn.Module` built from plain numbers (so that the Hub mixin can store them as
JSON), called as `G(z, y)` with `z: (B, z_dim)` and `y: (B,)` class indices, returning images
`(B, 3, S, S)` in [-1, 1].
"""

import numpy as np
import torch
from torch import Tensor, nn

from hqgan.models.sharing import Shared


class Generator(nn.Module, Shared, library_name="hqgan", tags=["hqgan", "synthetic"]):
    """Base of all class-conditional generators.

    Attributes:
        size: edge of the square image, pixels.
        classes: number of classes K.
        z_dim: length of the latent vector.
        least_images: training images, of all classes together, that `prepare` needs.
    """

    size: int
    classes: int
    z_dim: int
    least_images: int = 1

    def sample_z(self, n: int, rng: torch.Generator) -> Tensor:
        """Latents `(n, z_dim)` on the CPU, standard normal unless a model overrides it."""
        return torch.randn(n, self.z_dim, generator=rng)

    def preparation(self, images: int) -> int:
        """How many images `prepare` looks at, given that many; the clock of a run counts them."""
        del images
        return 0

    def prepare(self, images: np.ndarray, rng: torch.Generator) -> None:
        """Learn from the training images, uint8 (N, S, S, 3), what is fixed before the adversary.

        Principal components, an autoencoder: called once, before the first step of a new run; what
        it finds is kept in buffers or frozen parameters. Here it does nothing.
        """

    @property
    def code_size(self) -> int:
        """How many numbers `code` gives for an image."""
        return 3 * self.size**2

    def code(self, z: Tensor, y: Tensor) -> Tensor:
        """What the critic judges of a fake: the image, unless a model trains in another space.

        A model that does overrides `code`, `encode` and `decode`; its `forward` is then `decode`
        of `code`, and its code lies in the space that `encode` takes real images to.
        """
        return self(z, y)

    def encode(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] to the space of `code`; differentiable."""
        return images

    def decode(self, code: Tensor) -> Tensor:
        """What `code` returned, to images (B, 3, S, S); differentiable."""
        return code

    def penalty(self) -> Tensor | float:
        """A term the model adds to the generator's loss (0 unless a model overrides it)."""
        return 0.0

    def observe_losses(self, critic_loss: float, generator_loss: float) -> None:
        """Called after each step; models with an adaptive noise bound update it here."""
