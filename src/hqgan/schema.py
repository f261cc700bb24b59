"""The keys of a run's configuration, section by section, with their types and bounds.

A run is one `Config`. What the generators' and critics' keys do is said where their models are;
`hqgan.config` reads configurations.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from hqgan.pretrained import marked

Fraction = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
# Thousands of images; snapshots are named after them, with six digits.
Kimg = Annotated[float, Field(ge=0.001, lt=100_000)]
Channels = Annotated[int, Field(ge=1, le=4096)]
Layers = Annotated[int, Field(ge=1, le=100)]


def absolute_path(path: str) -> str:
    """The path as it is found from any working folder, spelled one way: without `..` and `.`."""
    try:
        found = Path(path).expanduser().absolute()
    except RuntimeError as error:  # the home of a user who does not exist
        raise ValueError(f"{path} cannot be found: {error}") from error
    plain = Path(os.path.normpath(found))
    elsewhere = found.exists() and not (plain.exists() and plain.samefile(found))
    return str(found if elsewhere else plain)  # beyond a link, `..` is another folder


def run_or_pretrained(run: str) -> str:
    """A run as it is found from any working folder; a packaged generator on any machine."""
    return marked(run) or absolute_path(run)


def fake_name(device: str) -> str:
    """A fake device's name, without the backend that it is written with elsewhere."""
    return device.removeprefix("aer:").removeprefix("noise:")


class Section(BaseModel):
    """Base of all sections: unknown keys, NaN and infinities are refused, values stay as read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class HybridQ(Section):
    """Arguments of `hqgan.models.hybridq.HybridQGenerator`, where each is explained."""

    name: Literal["hybridq"]
    z_dim: Annotated[int, Field(ge=1, le=4096)]
    qubits: Annotated[int, Field(ge=1, le=20)]
    circuit_layers: Layers
    circuit_groups: Literal[1, 2, 4, 8, 16]
    fusion: Literal["gated", "concat", "film"]
    twin: Literal["classical", "fourier", "zeros", "random", "product"] | None = Field(
        None, description="a control in the circuits' place, see `hqgan.models.twins`"
    )


class HybridQV1(Section):
    """The reconstruction of the first paper; its numbers are fixed."""

    name: Literal["hybridq-v1"]


class MediqV2(Section):
    """Arguments of `hqgan.models.mediq_v2.MediqV2Generator`."""

    name: Literal["mediq-v2"]
    variant: Literal["style2", "vanilla"]
    prototypes: bool
    depth: Layers


class DCGAN(Section):
    """The generator of DCGAN and WGAN-GP, `hqgan.models.classical`; its numbers are fixed."""

    name: Literal["dcgan"]


class FastGAN(Section):
    """Arguments of `hqgan.models.fastgan.FastGANGenerator`."""

    name: Literal["fastgan"]
    width_cap: Channels = 512
    start_link: bool = False


class StyleGAN2(Section):
    """Arguments of `hqgan.models.stylegan2.StyleGAN2Generator`."""

    name: Literal["stylegan2"]
    channel_cap: Channels = 512


class Diffusion(Section):
    """Arguments of `hqgan.models.diffusion.DiffusionGenerator`."""

    name: Literal["ddpm"]
    width: Channels = 128
    sampling_steps: Annotated[int, Field(ge=1, le=1000)] = 50
    guidance: Annotated[float, Field(ge=0)] = 1.5


class QPatch(Section):
    """Arguments of `hqgan.models.quantum_gans.QPatchGenerator`."""

    name: Literal["qpatch"]
    layers: Layers = 6


class PQWGAN(Section):
    """Arguments of `hqgan.models.quantum_gans.PQWGANGenerator`."""

    name: Literal["pqwgan"]
    layers: Layers = 11


class MosaiQ(Section):
    """Arguments of `hqgan.models.latent_gans.MosaiQGenerator`."""

    name: Literal["mosaiq"]
    components: Annotated[int, Field(ge=5, le=1000)] = 40
    depth: Layers = 6


class LatentQGAN(Section):
    """Arguments of `hqgan.models.latent_gans.LatentQGANGenerator`."""

    name: Literal["latentqgan"]
    circuits: Annotated[int, Field(ge=1, le=1000)] = 5
    qubits: Annotated[int, Field(ge=2, le=12)] = 4
    layers: Layers = 7
    autoencoder_kimg: Annotated[float, Field(gt=0)] = 30


GeneratorSection = Annotated[
    HybridQ
    | HybridQV1
    | MediqV2
    | DCGAN
    | FastGAN
    | StyleGAN2
    | Diffusion
    | QPatch
    | PQWGAN
    | MosaiQ
    | LatentQGAN,
    Field(discriminator="name"),
]


class OptimiserSection(Section):
    """An optimiser: Adam with its betas, or plain stochastic gradient descent."""

    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: Positive
    betas: tuple[Decay, Decay] | None = Field(None, description="of Adam")

    @model_validator(mode="after")
    def adam_has_betas(self) -> Self:
        if (self.optimiser == "adam") != (self.betas is not None):
            raise ValueError(
                "adam needs betas, two numbers such as [0.0, 0.99]"
                if self.betas is None
                else "sgd takes no betas"
            )
        return self


class CriticSection(OptimiserSection):
    """How a critic is optimised; the sections below add what it is."""

    steps: Count = Field(description="critic steps for each generator step")

    def model_options(self) -> dict[str, Any]:
        """Name and constructor arguments of the critic."""
        return self.model_dump(exclude=set(CriticSection.model_fields))


class ProjectionCritic(CriticSection):
    """Arguments of `hqgan.models.critic.ProjectionCritic`."""

    name: Literal["projection"]
    width: Channels = 32


class LabelChannelCritic(CriticSection):
    """The critic of the reconstructed first paper; its numbers are fixed."""

    name: Literal["label-channel"]


class MediqV2Critic(CriticSection):
    """The critic of the second paper; its numbers are fixed."""

    name: Literal["mediq-v2"]


class DCGANCritic(CriticSection):
    """Arguments of `hqgan.models.classical.DCGANCritic`."""

    name: Literal["dcgan"]
    norm: Literal["batch", "layer", "none"] = "batch"


class FastGANCritic(CriticSection):
    """Arguments of `hqgan.models.fastgan.FastGANCritic`."""

    name: Literal["fastgan"]
    width_cap: Channels = 512


class StyleGAN2Critic(CriticSection):
    """Arguments of `hqgan.models.stylegan2.StyleGAN2Critic`."""

    name: Literal["stylegan2"]
    channel_cap: Channels = 512


class DenseCritic(CriticSection):
    """Arguments of `hqgan.models.dense_critic.DenseCritic`."""

    name: Literal["dense"]
    widths: Annotated[tuple[Channels, ...], Field(min_length=1)]
    leak: Fraction = Field(0.2, description="negative slope of its ReLUs")


AnyCritic = Annotated[
    ProjectionCritic
    | LabelChannelCritic
    | MediqV2Critic
    | DCGANCritic
    | FastGANCritic
    | StyleGAN2Critic
    | DenseCritic,
    Field(discriminator="name"),
]


class GeneratorTraining(OptimiserSection):
    """How the generator is optimised; circuit parameters may have a learning rate of their own."""

    circuit_learning_rate: Positive | None = None
    ema_kimg: Annotated[float, Field(ge=0)] = Field(
        description="half-life of the weight average; 0 turns it off"
    )


class Loss(Section):
    """The adversarial loss and the penalty on the critic's gradient; or denoising, without one."""

    name: Literal["hinge", "wgan-gp", "non-saturating", "bce", "denoising"]
    r1_gamma: Annotated[float, Field(ge=0)] | Literal["auto"] = Field(
        0.0,
        description="of the order 0.01 at 64 px; 20x more freezes the critic; auto is StyleGAN2's "
        "0.0002 size^2 / batch",
    )
    r1_every: Count = Field(16, description="critic steps between two lazy R1 steps")
    gp_lambda: Annotated[float, Field(ge=0)] = Field(
        10.0, description="weight of the WGAN gradient penalty"
    )
    label_dropout: Fraction = Field(
        0.1, description="share of images whose class a diffusion model is not told"
    )


class Augmentation(Section):
    """What the critic sees of real and fake images, see `hqgan.data.diffaugment` and `.ada`."""

    strength: Fraction = Field(description="share of images that are changed")
    target: Fraction | None = Field(
        None, description="adaptive instead: share of reals the critic should know, ADA uses 0.6"
    )
    flips: bool = Field(description="flips and quarter turns of the real images")


class Data(Section):
    """Which images, and how often each class is shown."""

    path: str
    label: str | None = Field(
        None, description="csv column that holds the class, where there is a choice"
    )
    balance: Fraction = Field(0.5, description="0: natural class frequencies, 1: all equally often")

    @field_validator("path")
    @classmethod
    def absolute(cls, path: str) -> str:
        """The run must find its data again from any working folder."""
        return path if path == "embedded" else absolute_path(path)


class Init(Section):
    """Fine-tuning: start from the generator and critic of another run, or of the package."""

    run: Annotated[str, AfterValidator(run_or_pretrained)] = Field(
        description="a run or snapshot; or the name of a packaged generator, which is kept as "
        "pretrained:NAME"
    )
    freeze_critic: Annotated[int, Field(ge=0)] = Field(
        0, description="convolutions of the critic that stay as they are, from the image on"
    )
    label_map: dict[str, str] = Field(
        default_factory=dict, description="new class: old class whose embedding it starts from"
    )


class NoisyMachine(Section):
    """Noise-aware training: the circuits run as this device would run them, shots aside."""

    device: Annotated[str, AfterValidator(fake_name)] = Field(
        description="a fake device of qiskit-ibm-runtime, such as fake_marrakesh"
    )
    strength: Annotated[float, Field(ge=0, le=100)] = Field(
        1.0, description="of the noise: errors and durations times this"
    )


class Config(Section):
    """One training run, complete."""

    preset: str
    generator: GeneratorSection
    generator_training: GeneratorTraining
    critic: AnyCritic | None = None
    loss: Loss
    augmentation: Augmentation
    data: Data
    size: Literal[32, 64, 128] = 64
    batch: Annotated[int, Field(ge=2)] = 64
    kimg: Kimg = Field(
        description="thousands of real images shown to the critic, all its steps counted"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    precision: Literal["auto", "float32", "bf16"] = "auto"
    device: str = "auto"
    save_every_kimg: Kimg = 10
    init: Init | None = None
    noise: NoisyMachine | None = None
    loggers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = Field(
        (), description="experiment trackers beside metrics.jsonl, see `hqgan.training.loggers`"
    )

    @model_validator(mode="after")
    def parts_fit_together(self) -> Self:
        diffusion = self.generator.name == "ddpm"
        if diffusion != (self.loss.name == "denoising"):
            raise ValueError(
                f"loss.name is {self.loss.name}, but the generator is {self.generator.name}: "
                "denoising is the loss of ddpm, and of it alone"
            )
        if diffusion != (self.critic is None):
            raise ValueError(
                "ddpm has no critic" if self.critic else f"{self.generator.name} needs a critic"
            )
        if diffusion and (self.augmentation.strength or self.augmentation.target is not None):
            raise ValueError(
                f"augmentation.strength is {self.augmentation.strength:g}, but that is what a "
                "critic sees, and ddpm has none: set it to 0, and target to null"
            )
        in_codes = self.generator.name in ("mosaiq", "latentqgan")
        if in_codes and self.critic is not None and self.critic.name != "dense":
            raise ValueError(
                f"critic.name is {self.critic.name}, which looks at images, but "
                f"{self.generator.name} is trained on codes: use dense"
            )
        return self
