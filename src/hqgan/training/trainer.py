"""What every trainer has: models, their average, the data it draws, the randomness of a step.

Every random number of a step comes from a generator seeded with (seed, rank, images seen), so that
nothing about randomness has to be saved and a resumed run repeats an unbroken one bit for bit (CPU,
fixed number of threads). The steps themselves are in `adversarial` and `denoising`.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from hqgan.data import Dataset, to_float
from hqgan.errors import TrainingStopped, UsageError
from hqgan.models import Critic, Generator, build_critic, build_generator
from hqgan.quantum import QuantumLayer
from hqgan.quantum.devices import DeviceNoise
from hqgan.quantum.lowering import lower
from hqgan.quantum.noise import MOST_QUBITS, program_of
from hqgan.schema import Config, NoisyMachine, OptimiserSection


class Trainer(ABC):
    """A generator, its moving average, perhaps a critic, and the one step that advances them.

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
        if config.noise is not None:
            run_on_noisy_machine(self.generator, config.noise)
        for module in self.models():
            module.to(fabric.device)
            # 1.7x as fast on CPUs; torch's annotation of `to` forgets this argument.
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.images_generated = 0
        frequency = dataset.counts[dataset.labels].astype(np.float64)
        weight = frequency**-config.data.balance
        self._cumulative = np.cumsum(weight / weight.sum())
        plain, circuits = split_circuit_parameters(self.generator)
        mine = config.generator_training
        groups: list[dict[str, Any]] = [
            {"params": plain, "lr": mine.learning_rate},
            {"params": circuits, "lr": mine.circuit_learning_rate or mine.learning_rate},
        ]
        self.generator_optimiser = self.optimiser([g for g in groups if g["params"]], mine)

    def models(self) -> list[nn.Module]:
        """What is trained."""
        return [self.generator] if self.critic is None else [self.generator, self.critic]

    def optimiser(self, parameters: Any, section: OptimiserSection) -> torch.optim.Optimizer:
        """The optimiser that a section of the configuration describes."""
        fused = self.fabric.device.type in ("cpu", "cuda")
        rate = section.learning_rate
        if section.betas is None:
            return torch.optim.SGD(parameters, lr=rate, fused=fused)
        return torch.optim.Adam(parameters, lr=rate, betas=section.betas, fused=fused)

    def prepare(self) -> int:
        """What the generator learns of the data before its first step; returns images looked at."""
        rng = step_generator(self.config.seed, 0, 0)  # in every process the same
        self.generator.prepare(self.dataset.images, rng)
        self.average.load_state_dict(self.generator.state_dict())
        return self.generator.preparation(len(self.dataset))

    def step(self, images_seen: int) -> dict[str, float]:
        """Advance by one batch of real images; returns what to log, all finite.

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

    @abstractmethod
    def advance(self, images_seen: int) -> dict[str, float]:
        """The step itself, unchecked."""

    @torch.no_grad()
    def update_average(self, images_seen: int) -> None:
        """Move the average towards the generator, with a half-life of `ema_kimg`.

        The half-life is at most a twentieth of what was seen, so that the noise of the start is
        forgotten (as in StyleGAN2-ADA, arXiv 2006.06676). Buffers (batch-norm statistics, noise
        bounds) are copied.
        """
        half_life = min(1000 * self.config.generator_training.ema_kimg, 0.05 * images_seen)
        critic = self.config.critic
        step = self.config.batch * (critic.steps if critic else 1)
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
        for module in self.models():
            for name, value in module.state_dict().items():
                if not value.isfinite().all():
                    raise diverged(f"{name} is NaN or infinite", images_seen) from None

    def state_dict(self) -> dict[str, Any]:
        return {
            "generator": self.generator.state_dict(),
            "average": self.average.state_dict(),
            "generator_optimiser": self.generator_optimiser.state_dict(),
            "images_generated": self.images_generated,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name in ("generator", "average", "generator_optimiser"):
            getattr(self, name).load_state_dict(state[name])
        self.images_generated = state["images_generated"]


def build_models(config: Config, classes: int) -> tuple[Generator, Critic | None]:
    """Generator and critic of a run on data with that many classes, freshly initialised."""
    generator = build_generator(classes=classes, size=config.size, **config.generator.model_dump())
    if config.critic is None:
        return generator, None
    options = config.critic.model_options()
    if config.critic.name == "dense":
        options["inputs"] = generator.code_size
    return generator, build_critic(classes=classes, size=config.size, **options)


def run_on_noisy_machine(generator: Generator, machine: NoisyMachine) -> None:
    """Let the circuits of a generator run with the noise of a device, in training alone.

    Snapshots hold weights; who loads one runs it on a perfect machine unless they say otherwise.

    Raises:
        UsageError: the generator has no circuits, or ones that are too large to be simulated with
            noise or do not lie on the device, or there is no such device.
        MissingExtra: qiskit-ibm-runtime is absent.
    """
    layers = [module for module in generator.modules() if isinstance(module, QuantumLayer)]
    if not layers:
        raise UsageError(
            f"noise.device is {machine.device}, but this generator has no circuits that could be "
            "noisy; leave noise out"
        )
    widest = max(layer.circuit.qubits for layer in layers)
    if widest > MOST_QUBITS:
        raise UsageError(
            f"noise.device is {machine.device}, but the generator's circuits have {widest} qubits, "
            f"and training with noise is possible up to {MOST_QUBITS}"
        )
    noise = DeviceNoise(machine.device, machine.strength)
    for layer in layers:
        program_of(noise, lower(layer.circuit).circuit)  # refused now, not once the run has begun
        layer.set_noise(noise)


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
