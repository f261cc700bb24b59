"""What is asked of a backend: the settings that decide the values, checked before anything else."""

from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from hqgan.errors import UsageError
from hqgan.models.snapshot import require_seed

MOST_IMAGES = 10_000
MODELS = ("noise:", "aer:")  # what computes values here, and sends nothing


@dataclass(frozen=True)
class Settings:
    """What decides the values; the same settings continue, others are refused.

    Args:
        backend: a spec of `hqgan.quantum.backends.SPECS`.
        n: images.
        shots: measurements of each circuit in each basis; None is the backend's default.
        mitigation: of a device, see `open_backend`.
        pack: whether a device runs circuits side by side.
        noise_model: spec of one to compare with; None for none.
        images_per_job: a device's job takes at most so many; None is all.
        seed: of latents, transpiler and simulated shots.
        data: whose class mix the images have, and what they are compared with; None for neither.
        label: the column of `data` used as class.
    """

    backend: str
    n: int
    shots: int | None = None
    mitigation: str = "none"
    pack: bool = True
    noise_model: str | None = None
    images_per_job: int | None = None
    seed: int = 0
    data: str | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        for name, value, most in (
            ("n", self.n, MOST_IMAGES),
            ("shots", self.shots, None),
            ("images-per-job", self.images_per_job, None),
        ):
            if value is not None and (value < 1 or value > (most or value)):
                reach = f"a number from 1 to {most:,}" if most else "at least 1"
                raise UsageError(f"--{name} is {value}, but must be {reach}")
        if self.noise_model is not None and not self.noise_model.startswith(MODELS):
            raise UsageError(
                f"--noise-model is {self.noise_model}, but must be noise:fake_NAME or "
                "aer:fake_NAME; a device goes to --backend"
            )

    @property
    def name(self) -> str:
        """Of the folder of results."""
        spec = self.backend.replace(":", "-").replace("/", "-")
        mitigation = "" if self.mitigation == "none" else f"-{self.mitigation}"
        packing = "" if self.pack else "-unpacked"
        return f"{spec}{mitigation}{packing}-n{self.n}"

    def differences(self, other: "Settings") -> list[str]:
        """The settings in which another one differs, for people."""
        return [
            f"{field.name}: {getattr(self, field.name)} -> {getattr(other, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != getattr(other, field.name)
        ]


def settings_of(content: dict[str, Any]) -> Settings:
    """The settings of a saved order; TypeError, KeyError or UsageError where they are none."""
    settings = Settings(**content["settings"])
    for name, hint in get_type_hints(Settings).items():
        value = getattr(settings, name)
        if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
            raise TypeError(f"{name} is {value!r:.40}")
    require_seed(settings.seed)
    return settings
