"""One training step, and all the state it changes.

Every random number of a step comes from a generator seeded with (seed, rank, images seen), so that nothing about
randomness has to be saved and a resumed run repeats an unbroken one bit for bit (CPU, fixed number of threads).
"""

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from hqgan.config import Config
from hqgan.data import Dataset, to_float
from hqgan.data.diffaugment import augment, flips_and_turns
from hqgan.errors import TrainingStopped
from hqgan.models import Generator, build_critic, build_generator
from hqgan.quantum import QuantumLayer
from hqgan.training.losses import critic_loss, generator_loss, gradient_penalty, r1_penalty


class Trainer:
    """Generator, its moving average, critic and optimisers, and the one step that advances them.

    Args:
        config: the run; its device and precision are resolved.
        dataset: the training split.
        fabric: places tensors, chooses the precision, and averages over processes.
    """

    def __init__(self, config: Config, dataset: Dataset, fabric: Fabric):
        self.config, self.dataset, self.fabric = config, dataset, fabric
        torch.manual_seed(config.seed)  # equal first weights in every process
        classes = len(dataset.classes)
        self.generator: Generator = build_generator(
            classes=classes, size=config.size, **config.generator.model_dump()
        )
        width = {"width": config.critic.width} if config.critic.width else {}
        self.critic = build_critic(config.critic.name, classes=classes, size=config.size, **width)
        for module in (self.generator, self.critic):
            module.to(device=fabric.device, memory_format=torch.channels_last)  # 1.7x on CPUs
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.build_optimisers()
        self.critic_steps = 0
        self.images_generated = 0
        frequency = np.bincount(dataset.labels, minlength=classes)[dataset.labels].astype(
            np.float64
        )
        weight = frequency**-config.data.balance
        self._cumulative = np.cumsum(weight / weight.sum())

    def build_optimisers(self) -> None:
        """Adam for both; circuit parameters in a group with a learning rate of their own.

        Called again after parameters were frozen.
        """
        plain, circuits = split_circuit_parameters(self.generator)
        mine, critic = self.config.generator_training, self.config.critic
        groups = [
            {"params": plain, "lr": mine.learning_rate},
            {"params": circuits, "lr": mine.circuit_learning_rate},
        ]
        fused = self.fabric.device.type in ("cpu", "cuda")
        self.generator_optimiser = torch.optim.Adam(
            [g for g in groups if g["params"]], betas=mine.betas, fused=fused
        )
        self.critic_parameters = [p for p in self.critic.parameters() if p.requires_grad]
        self.critic_optimiser = torch.optim.Adam(
            self.critic_parameters, lr=critic.learning_rate, betas=critic.betas, fused=fused
        )

    def step(self, images_seen: int) -> dict[str, float]:
        """One critic step, and a generator step where one is due; returns what to log, all finite.

        The generator is updated through the very fakes of the critic step (as PQWGAN does), which saves its second
        forward pass.

        Raises:
            TrainingStopped: a loss or a weight is not a number any more.
        """
        try:
            logs = self.advance(images_seen)
        except ValueError:  # a circuit refuses angles that are not finite
            if self.is_finite():
                raise
            raise diverged("a weight is NaN or infinite", images_seen) from None
        for key, value in logs.items():
            if not math.isfinite(value):
                raise diverged(f"{key} is {value}", images_seen)
        return logs

    def advance(self, images_seen: int) -> dict[str, float]:
        """The step itself, unchecked."""
        config = self.config
        rng = step_generator(config.seed, self.fabric.global_rank, images_seen)
        real, y = self.draw(rng)
        last = (self.critic_steps + 1) % config.critic.steps == 0
        z = self.generator.sample_z(len(y), rng).to(real.device)
        with torch.set_grad_enabled(last), self.fabric.autocast():
            fake = self.generator(z, y)
        if config.augmentation.flips:
            real = flips_and_turns(real, rng)
        real_seen = augment(real, rng, config.augmentation.strength)
        fake_seen = augment(fake, rng, config.augmentation.strength)
        logs = self.update_critic(real_seen, fake_seen.detach(), y, rng)
        if last:
            logs["generator_loss"] = self.update_generator(fake_seen, y)
            self.update_average(images_seen)
            self.generator.observe_losses(logs["critic_loss"], logs["generator_loss"])
        self.critic_steps += 1
        self.images_generated += len(y) * self.fabric.world_size
        logs["diversity"] = (fake.detach().std(0).mean() / real.std(0).mean()).item()
        return logs

    def update_critic(
        self, real: Tensor, fake: Tensor, y: Tensor, rng: torch.Generator
    ) -> dict[str, float]:
        """Step the critic on augmented images (B, 3, S, S); fakes carry the labels of the reals."""
        loss_config = self.config.loss
        with self.fabric.autocast():
            on_real, on_fake = self.critic(torch.cat([real, fake]), torch.cat([y, y])).chunk(2)
        loss = critic_loss(loss_config.name, on_real, on_fake)
        total, logs = loss, {}
        if loss_config.name == "wgan-gp":
            penalty = gradient_penalty(self.judge, real, fake, y, loss_config.gp_lambda, rng)
            total, logs["gradient_penalty"] = loss + penalty, penalty.item()
        if loss_config.r1_gamma and self.critic_steps % loss_config.r1_every == 0:
            penalty = r1_penalty(self.judge, real, y, loss_config.r1_gamma)
            total, logs["r1_penalty"] = total + loss_config.r1_every * penalty, penalty.item()
        total.backward()
        self.average_gradients(self.critic_parameters)
        self.critic_optimiser.step()
        self.critic_optimiser.zero_grad()
        return logs | {
            "critic_loss": loss.item(),
            "real_logit": on_real.mean().item(),
            "fake_logit": on_fake.mean().item(),
        }

    def update_generator(self, fake: Tensor, y: Tensor) -> float:
        """Step the generator through augmented fakes that still know how they were made."""
        for p in self.critic_parameters:
            p.requires_grad_(False)
        adversarial = generator_loss(self.config.loss.name, self.judge(fake, y))
        (adversarial + self.generator.penalty()).backward()
        for p in self.critic_parameters:
            p.requires_grad_(True)
        self.average_gradients(self.generator.parameters())
        self.generator_optimiser.step()
        self.generator_optimiser.zero_grad()
        return adversarial.item()

    def judge(self, images: Tensor, y: Tensor) -> Tensor:
        """The critic in the run's precision."""
        with self.fabric.autocast():
            return self.critic(images, y)

    @torch.no_grad()
    def update_average(self, images_seen: int) -> None:
        """Move the average towards the generator; half-life `ema_kimg`, shorter at the start so that noise is forgotten.

        Buffers (batch-norm statistics, noise bounds) are copied. Ramp-up as in StyleGAN2-ADA (arXiv 2006.06676).
        """
        half_life = min(1000 * self.config.generator_training.ema_kimg, 0.05 * images_seen)
        step = self.config.batch * self.config.critic.steps
        keep = 0.5 ** (step / half_life) if half_life > 0 else 0.0
        torch._foreach_lerp_(
            list(self.average.parameters()), list(self.generator.parameters()), 1 - keep
        )
        for mean, value in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            mean.copy_(value)

    def draw(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """This process's share of a batch: images (b, 3, S, S) in [-1, 1] and labels (b,), with replacement."""
        share = self.config.batch // self.fabric.world_size
        uniform = torch.rand(share, generator=rng, dtype=torch.float64).numpy()
        chosen = np.searchsorted(self._cumulative, uniform, side="right").clip(
            max=len(self.dataset) - 1
        )
        device = self.fabric.device
        real = to_float(self.dataset.images[chosen]).to(device)
        return real, torch.from_numpy(self.dataset.labels[chosen]).to(device)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Mean of the gradients over processes, in one message.

        Done by hand because a GAN uses its critic in ways (frozen, twice, differentiated) that DDP's hooks do not expect.
        """
        if self.fabric.world_size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = self.fabric.all_reduce(torch.cat([g.flatten() for g in gradients]), reduce_op="mean")
        for gradient, mean in zip(
            gradients, flat.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(mean.view_as(gradient))

    def is_finite(self) -> bool:
        """Whether every weight is a number: what has diverged must not replace a good state."""
        parameters = [*self.generator.parameters(), *self.critic.parameters()]
        return all(bool(p.isfinite().all()) for p in parameters)

    def state_dict(self) -> dict[str, Any]:
        return {
            "generator": self.generator.state_dict(),
            "average": self.average.state_dict(),
            "critic": self.critic.state_dict(),
            "generator_optimiser": self.generator_optimiser.state_dict(),
            "critic_optimiser": self.critic_optimiser.state_dict(),
            "critic_steps": self.critic_steps,
            "images_generated": self.images_generated,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name in ("generator", "average", "critic", "generator_optimiser", "critic_optimiser"):
            getattr(self, name).load_state_dict(state[name])
        self.critic_steps, self.images_generated = state["critic_steps"], state["images_generated"]


def diverged(what: str, images_seen: int) -> TrainingStopped:
    """The message for a training whose numbers are no longer numbers."""
    return TrainingStopped(
        f"training diverged: {what} after {images_seen:,} images. Lower the learning rates (generator_training.learning_rate, "
        "circuit_learning_rate, critic.learning_rate) or use --set precision=float32; the last good snapshot is kept."
    )


def step_generator(seed: int, rank: int, images_seen: int) -> torch.Generator:
    """The randomness of one step, on the CPU; modules that draw for themselves get the same seed."""
    mixed = int(
        np.random.SeedSequence((seed, rank, images_seen)).generate_state(1, np.uint64)[0] >> 1
    )
    torch.manual_seed(mixed)
    return torch.Generator().manual_seed(mixed)


def split_circuit_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """All trainable parameters as (classical, of quantum circuits)."""
    circuits = [p for m in model.modules() if isinstance(m, QuantumLayer) for p in m.parameters()]
    ours = {id(p) for p in circuits}
    return [p for p in model.parameters() if id(p) not in ours], circuits
