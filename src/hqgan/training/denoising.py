"""The denoising step: a diffusion model learns to tell the noise in an image, without a critic."""

import torch
import torch.nn.functional as F

from hqgan.data.diffaugment import flips_and_turns
from hqgan.models.diffusion import TIMESTEPS, DiffusionGenerator
from hqgan.training.trainer import Trainer, step_generator


class DenoisingTrainer(Trainer):
    """Trains the model of `hqgan.models.diffusion`; arguments as for `Trainer`."""

    generator: DiffusionGenerator

    def advance(self, images_seen: int) -> dict[str, float]:
        """One step of Ho et al. 2020 (arXiv 2006.11239, algorithm 1).

        The label is hidden from a share of the images, for guidance without a classifier
        (Ho & Salimans 2022, arXiv 2207.12598).
        """
        config = self.config
        rng = step_generator(config.seed, self.fabric.global_rank, images_seen)
        real, y = self.draw(rng)
        if config.augmentation.flips:
            real = flips_and_turns(real, rng)
        t = torch.randint(TIMESTEPS, (len(y),), generator=rng).to(real.device)
        noise = torch.randn(real.shape, generator=rng).to(real.device)
        hidden = torch.rand(len(y), generator=rng).to(real.device) < config.loss.label_dropout
        with self.fabric.autocast():
            told = self.generator.predict_noise(
                self.generator.noisy(real, noise, t), t, y.masked_fill(hidden, -1)
            )
        loss = F.mse_loss(told.float(), noise)
        loss.backward()
        self.average_gradients(self.generator.parameters())
        self.generator_optimiser.step()
        self.generator_optimiser.zero_grad()
        self.update_average(images_seen)
        return {"denoising_loss": self.mean(loss.detach()).item()}
