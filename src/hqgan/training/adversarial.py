"""The adversarial step: one critic step, and a generator step where one is due."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from hqgan.data import Dataset
from hqgan.data.ada import Adaptive, ada
from hqgan.data.diffaugment import augment, flips_and_turns
from hqgan.errors import UsageError
from hqgan.models import Critic
from hqgan.schema import Config
from hqgan.training.losses import critic_loss, generator_loss, gradient_penalty, r1_penalty
from hqgan.training.trainer import Trainer, step_generator

ONE_LEVEL = 2 / 255  # distance of two neighbouring grey levels in [-1, 1]


class AdversarialTrainer(Trainer):
    """Generator against critic; arguments as for `Trainer`."""

    critic: Critic

    def __init__(self, config: Config, dataset: Dataset, fabric: Fabric):
        super().__init__(config, dataset, fabric)
        assert config.critic is not None  # `Config` sees to it
        self.settings = config.critic
        if config.init is not None:
            freeze_convolutions(self.critic, config.init.freeze_critic)
        self.critic_parameters = [p for p in self.critic.parameters() if p.requires_grad]
        self.critic_optimiser = self.optimiser(self.critic_parameters, self.settings)
        self.critic_steps = 0
        gamma = config.loss.r1_gamma
        self.r1_gamma = 2e-4 * config.size**2 / config.batch if gamma == "auto" else gamma
        chosen = config.augmentation
        self.adaptive = (
            None if chosen.target is None else Adaptive(chosen.target, strength=chosen.strength)
        )

    def advance(self, images_seen: int) -> dict[str, float]:
        """The generator is updated through the very fakes of the critic step (as PQWGAN does).

        That saves its second forward pass.
        """
        config = self.config
        rng = step_generator(config.seed, self.fabric.global_rank, images_seen)
        real, y = self.draw(rng)
        last = (self.critic_steps + 1) % self.settings.steps == 0
        z = self.generator.sample_z(len(y), rng).to(real.device)
        with torch.set_grad_enabled(last), self.fabric.autocast():
            fake = self.generator.code(z, y)
        if config.augmentation.flips:
            real = flips_and_turns(real, rng)
        real_seen = self.generator.encode(self.augmented(real, rng))
        fake_seen = self.shown(fake, rng)
        logs = self.update_critic(real_seen, fake_seen.detach(), y, rng)
        if last:
            logs["generator_loss"] = self.update_generator(fake_seen, y)
            self.update_average(images_seen)
        # A small batch may draw one image only, whose spread is 0.
        plain = self.generator.encode(real) if self.augments else real_seen
        spread = plain.std(0).mean().clamp(min=ONE_LEVEL)
        logs["diversity"] = (fake.detach().std(0).mean() / spread).item()
        if self.adaptive:
            logs["augmentation_strength"] = self.adaptive.strength
        if self.fabric.world_size > 1:
            means = self.mean(torch.tensor(list(logs.values()), device=self.fabric.device))
            logs = dict(zip(logs, means.tolist(), strict=True))
        if last:
            self.generator.observe_losses(logs["critic_loss"], logs["generator_loss"])
        self.critic_steps += 1
        self.images_generated += config.batch
        return logs

    @property
    def augments(self) -> bool:
        """Whether the critic sees other images than there are."""
        return self.adaptive is not None or self.config.augmentation.strength > 0

    def augmented(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Images as the critic sees them, real and fake alike."""
        if self.adaptive:
            return ada(images, rng, self.adaptive.strength)
        return augment(images, rng, self.config.augmentation.strength)

    def shown(self, fake: Tensor, rng: torch.Generator) -> Tensor:
        """A generator's codes as the critic sees them; only images can be augmented."""
        if not self.augments:
            return fake
        return self.generator.encode(self.augmented(self.generator.decode(fake), rng))

    def update_critic(
        self, real: Tensor, fake: Tensor, y: Tensor, rng: torch.Generator
    ) -> dict[str, float]:
        """Step the critic on what it is shown; fakes carry the labels of the reals."""
        loss_config = self.config.loss
        # In two calls: in one batch, statistics over a batch would mix real and fake.
        on_real, on_fake = self.judge(real, y), self.judge(fake, y)
        loss = critic_loss(loss_config.name, on_real, on_fake)
        total, logs = loss, {}
        if loss_config.name == "wgan-gp":
            penalty = gradient_penalty(self.judge, real, fake, y, loss_config.gp_lambda, rng)
            total, logs["gradient_penalty"] = loss + penalty, penalty.item()
        if self.r1_gamma and self.critic_steps % loss_config.r1_every == 0:
            penalty = r1_penalty(self.judge, real, y, self.r1_gamma)
            total, logs["r1_penalty"] = total + loss_config.r1_every * penalty, penalty.item()
        with self.fabric.autocast():
            auxiliary = self.critic.auxiliary(real)
        if isinstance(auxiliary, Tensor):
            total, logs["auxiliary_loss"] = total + auxiliary, auxiliary.item()
        if self.adaptive:
            gathered = cast(Tensor, self.fabric.all_gather(on_real.detach()))
            self.adaptive.observe(gathered, len(y) * self.fabric.world_size)
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
        """Step the generator through fakes that still know how they were made."""
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

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "critic": self.critic.state_dict(),
            "critic_optimiser": self.critic_optimiser.state_dict(),
            "critic_steps": self.critic_steps,
            "adaptive": self.adaptive.state_dict() if self.adaptive else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.critic.load_state_dict(state["critic"])
        self.critic_optimiser.load_state_dict(state["critic_optimiser"])
        self.critic_steps = state["critic_steps"]
        if self.adaptive:
            self.adaptive.load_state_dict(state["adaptive"])


def freeze_convolutions(critic: nn.Module, count: int) -> None:
    """Keep the first `count` convolutions of a critic, from the image on, as they are."""
    convolutions = [m for m in critic.modules() if isinstance(m, nn.Conv2d)]
    if count > len(convolutions):
        raise UsageError(
            f"init.freeze_critic is {count}, but the critic has {len(convolutions)} convolutions"
        )
    for module in convolutions[:count]:
        module.requires_grad_(False)
