"""A class-conditional denoising diffusion model (Ho et al. 2020, arXiv 2006.11239), preset `ddpm`.

The U-Net and the noise schedule are those of the package diffusers (extra `diffusion`); the rest is
how it becomes one of our generators: z is the noise that deterministic DDIM sampling (Song et al.
2021, arXiv 2010.02502, eta = 0) starts from, so that an image depends on z and class alone.

The published unconditional model for CIFAR-10 (35.7 M parameters at width 128, 32 px) is followed:
channels 128, 256, 256, 256, two residual blocks a level, attention at 16 px, dropout 0.1, 1,000
steps of a linear schedule. The class is ours: its vector is added to the time embedding, and
guidance without a classifier (Ho & Salimans 2022, arXiv 2207.12598) sharpens it. At 64 and 128 px a
level of `width` channels is put in front for each doubling.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from hqgan.errors import MissingExtra, UsageError
from hqgan.models.generator import Generator

SIZES = (32, 64, 128)
TIMESTEPS = 1000  # of the noise schedule; another number would need another schedule
ATTENTION_AT = 16  # resolution with self-attention, pixels


class DiffusionGenerator(Generator):
    """Noise z (B, 3 S S) and class indices (B,) to images (B, 3, S, S) in [-1, 1].

    Cost: `sampling_steps` passes through the U-Net an image, twice as many with guidance; a
    training step needs one.

    Args:
        classes: number of classes K.
        size: edge of the image, 32, 64 or 128 pixels.
        width: channels of the first level, a multiple of 8.
        sampling_steps: of DDIM, evenly spaced among the 1,000 of the noise schedule.
        guidance: weight of the class: 0 ignores it, 1 is the plain conditional model.

    Raises:
        UsageError: a size, width or number of steps that cannot be.
        MissingExtra: diffusers is not installed.
    """

    def __init__(
        self,
        classes: int,
        size: int = 64,
        width: int = 128,
        sampling_steps: int = 50,
        guidance: float = 1.5,
    ):
        super().__init__()
        if size not in SIZES:
            raise UsageError(f"size is {size}, but ddpm makes images of 32, 64 or 128 pixels")
        if width % 8:
            raise UsageError(f"ddpm's width is {width}, but must be a multiple of 8")
        if not 1 <= sampling_steps <= TIMESTEPS or TIMESTEPS % sampling_steps:
            raise UsageError(
                f"ddpm's sampling_steps are {sampling_steps}, but must divide its {TIMESTEPS:,} "
                "steps of noise, such as 25, 50 or 100"
            )
        self.classes, self.size, self.z_dim = classes, size, 3 * size**2
        self.sampling_steps, self.guidance = sampling_steps, guidance
        unet, scheduler = diffusers()
        in_front = int(math.log2(size // SIZES[0]))
        levels = (width,) * (in_front + 1) + (2 * width,) * 3
        with_attention = [size >> level == ATTENTION_AT for level in range(len(levels))]
        self.unet = unet(
            sample_size=size,
            in_channels=3,
            out_channels=3,
            layers_per_block=2,
            block_out_channels=levels,
            down_block_types=["AttnDownBlock2D" if a else "DownBlock2D" for a in with_attention],
            up_block_types=["AttnUpBlock2D" if a else "UpBlock2D" for a in with_attention[::-1]],
            attention_head_dim=None,  # one head over all channels
            norm_num_groups=math.gcd(width, 32),
            dropout=0.1,
            class_embed_type="identity",  # it is given the vectors below
        )
        self.label = nn.Embedding(classes, 4 * width)
        self.unlabelled = nn.Parameter(torch.zeros(4 * width))  # what stands for a hidden class
        self.schedule = scheduler(num_train_timesteps=TIMESTEPS, timestep_spacing="trailing")
        self.schedule.set_timesteps(sampling_steps)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """DDIM from noise to images, clamped to [-1, 1]."""
        x = z.view(-1, 3, self.size, self.size)
        for step in self.schedule.timesteps.tolist():
            t = torch.full((len(x),), step, device=x.device)
            x = self.schedule.step(self.guided(x, t, y), step, x).prev_sample
        return x.float().clamp(-1, 1)

    def guided(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """Noise predicted with the class, pushed away from that predicted without it."""
        if self.guidance == 1:
            return self.predict_noise(x, t, y)
        labels = torch.cat([y, torch.full_like(y, -1)])
        told, untold = self.predict_noise(x.repeat(2, 1, 1, 1), t.repeat(2), labels).chunk(2)
        return untold + self.guidance * (told - untold)

    def predict_noise(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """Noisy images (B, 3, S, S), steps (B,), classes (B,), -1 for hidden, to (B, 3, S, S)."""
        known = self.label(y.clamp(min=0))
        vectors = torch.where((y < 0)[:, None], self.unlabelled, known)
        return self.unet(x, t, class_labels=vectors).sample

    def noisy(self, images: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Images after t of the schedule's steps (equation 4): (B, 3, S, S), no longer bounded."""
        return self.schedule.add_noise(images, noise, t)


def diffusers() -> tuple[Any, Any]:
    """The classes UNet2DModel and DDIMScheduler."""
    try:
        from diffusers import DDIMScheduler, UNet2DModel
    except ImportError as error:
        raise MissingExtra("diffusers", "diffusion", "the preset ddpm") from error
    return UNet2DModel, DDIMScheduler
