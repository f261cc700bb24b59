"""One training step, and all the state it changes.

Every random number of a step comes from a generator seeded with (seed, rank, images seen), so that
nothing about randomness has to be saved and a resumed run repeats an unbroken one bit for bit (CPU,
fixed number of threads).
"""

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from hqgan.config import Config
from hqgan.data import Dataset, to_float
from hqgan.data.diffaugment import augment, flips_and_turns
from hqgan.errors import TrainingStopped, UsageError
from hqgan.models import Generator, build_critic, build_generator
from hqgan.quantum import QuantumLayer
from hqgan.training.losses import critic_loss, generator_loss, gradient_penalty, r1_penalty

ONE_LEVEL = 2 / 255  # distance of two neighbouring grey levels in [-1, 1]


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
        self.generator, self.critic = build_models(config, classes)
        for module in (self.generator, self.critic):
            module.to(fabric.device)
            # 1.7x as fast on CPUs; torch's annotation of `to` forgets this argument.
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.init is not None:
            freeze_convolutions(self.critic, config.init.freeze_critic)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.critic_steps = 0
        self.images_generated = 0
        frequency = dataset.counts[dataset.labels].astype(np.float64)
        weight = frequency**-config.data.balance
        self._cumulative = np.cumsum(weight / weight.sum())
        plain, circuits = split_circuit_parameters(self.generator)
        mine, critic = config.generator_training, config.critic
        groups: list[dict[str, Any]] = [
            {"params": plain, "lr": mine.learning_rate},
            {"params": circuits, "lr": mine.circuit_learning_rate},
        ]
        fused = fabric.device.type in ("cpu", "cuda")
        self.generator_optimiser = torch.optim.Adam(
            [g for g in groups if g["params"]], betas=mine.betas, fused=fused
        )
        self.critic_parameters = [p for p in self.critic.parameters() if p.requires_grad]
        self.critic_optimiser = torch.optim.Adam(
            self.critic_parameters, lr=critic.learning_rate, betas=critic.betas, fused=fused
        )

    def step(self, images_seen: int) -> dict[str, float]:
        """One critic step, and a generator step where one is due; returns what to log, all finite.

        The generator is updated through the very fakes of the critic step (as PQWGAN does), which
        saves its second forward pass.

        Raises:
            TrainingStopped: a loss or a weight is not a number any more.
            UsageError: the circuits need more memory than the machine has.
        """
        try:
            logs = self.advance(images_seen)
        except ValueError as error:  # a circuit refuses angles that are not finite, and its size
            self.require_finite(images_seen)
            raise UsageError(f"the circuits cannot be simulated: {error}") from error
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
        # A small batch may draw one image only, whose spread is 0.
        spread = real.std(0).mean().clamp(min=ONE_LEVEL)
        logs["diversity"] = (fake.detach().std(0).mean() / spread).item()
        if self.fabric.world_size > 1:
            means = self.mean(torch.tensor(list(logs.values()), device=self.fabric.device))
            logs = dict(zip(logs, means.tolist(), strict=True))
        if last:
            self.generator.observe_losses(logs["critic_loss"], logs["generator_loss"])
        self.critic_steps += 1
        self.images_generated += config.batch
        return logs

    def update_critic(
        self, real: Tensor, fake: Tensor, y: Tensor, rng: torch.Generator
    ) -> dict[str, float]:
        """Step the critic on augmented images (B, 3, S, S); fakes carry the labels of the reals."""
        loss_config = self.config.loss
        # In two calls: in one batch, statistics over a batch would mix real and fake.
        on_real, on_fake = self.judge(real, y), self.judge(fake, y)
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
        """Move the average towards the generator, with a half-life of `ema_kimg`.

        The half-life is at most a twentieth of what was seen, so that the noise of the start is
        forgotten (as in StyleGAN2-ADA, arXiv 2006.06676). Buffers (batch-norm statistics, noise
        bounds) are copied.
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
        """This process's share of a batch, with replacement: images (b, 3, S, S), labels (b,)."""
        share = self.config.batch // self.fabric.world_size
        uniform = torch.rand(share, generator=rng, dtype=torch.float64).numpy()
        chosen = np.searchsorted(self._cumulative, uniform, side="right")
        chosen = chosen.clip(max=len(self.dataset) - 1)  # the sum of all may round below 1
        device = self.fabric.device
        real = to_float(self.dataset.images[chosen]).to(device)
        return real, torch.from_numpy(self.dataset.labels[chosen]).to(device)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Mean of the gradients over processes, in one message.

        Done by hand because a GAN uses its critic in ways (frozen, twice, differentiated) that
        DDP's hooks do not expect.
        """
        if self.fabric.world_size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = self.mean(torch.cat([g.flatten() for g in gradients]))
        pieces = flat.split([g.numel() for g in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))

    def mean(self, values: Tensor) -> Tensor:
        """Mean over processes, elementwise."""
        return cast(Tensor, self.fabric.all_reduce(values, reduce_op="mean"))

    def require_finite(self, images_seen: int) -> None:
        """Raise `TrainingStopped` where a weight or a running statistic is not a number any more.

        Asked before anything is written: what has diverged must not replace what is good.
        """
        for module in (self.generator, self.critic):
            for name, value in module.state_dict().items():
                if not value.isfinite().all():
                    raise diverged(f"{name} is NaN or infinite", images_seen) from None

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


def build_models(config: Config, classes: int) -> tuple[Generator, nn.Module]:
    """Generator and critic of a run on data with that many classes, freshly initialised."""
    generator = build_generator(classes=classes, size=config.size, **config.generator.model_dump())
    critic = config.critic.model_dump(include={"name", "width"}, exclude_none=True)
    return generator, build_critic(classes=classes, size=config.size, **critic)


def freeze_convolutions(critic: nn.Module, count: int) -> None:
    """Keep the first `count` convolutions of a critic, from the image on, as they are."""
    convolutions = [m for m in critic.modules() if isinstance(m, nn.Conv2d)]
    if count > len(convolutions):
        raise UsageError(
            f"init.freeze_critic is {count}, but the critic has {len(convolutions)} convolutions"
        )
    for module in convolutions[:count]:
        module.requires_grad_(False)


def diverged(what: str, images_seen: int) -> TrainingStopped:
    """The message for a training whose numbers are no longer numbers."""
    return TrainingStopped(
        f"training diverged: {what} after {images_seen:,} images. Lower the learning rates "
        "(generator_training.learning_rate, generator_training.circuit_learning_rate, "
        "critic.learning_rate) or use --set precision=float32, with another --out; the "
        "last good snapshot is kept."
    )


def step_generator(seed: int, rank: int, images_seen: int) -> torch.Generator:
    """The randomness of one step, on the CPU; modules that draw for themselves get its seed."""
    entropy = np.random.SeedSequence((seed, rank, images_seen)).generate_state(1, np.uint64)
    mixed = int(entropy[0] >> 1)  # torch takes signed 64 bits
    torch.manual_seed(mixed)
    return torch.Generator().manual_seed(mixed)


def split_circuit_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """All parameters as (classical, of quantum circuits)."""
    circuits = [p for m in model.modules() if isinstance(m, QuantumLayer) for p in m.parameters()]
    ours = {id(p) for p in circuits}
    return [p for p in model.parameters() if id(p) not in ours], circuits
