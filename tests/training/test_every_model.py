"""Every model goes through the same run folder, and learns eight images by heart as far as it can.

Each is made narrow where it is large. What it has learned is the mean squared distance of its
images to the nearest of the eight, beside that of an untrained copy. The patch models and those in
a latent space cannot come close by construction (see their modules); they must come closer.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from hqgan.config import load_config, preset_names
from hqgan.data import Dataset, load_dataset
from hqgan.models import Generator, generate, load_snapshot
from hqgan.schema import Config
from hqgan.training import train
from hqgan.training.fabric import make_fabric
from hqgan.training.loop import make_trainer
from small_runs import SIZE, weights

PER_CLASS = 2  # of the embedded set's four classes
BATCH = 8


class Lesson(NamedTuple):
    """Steps of 8 images, the share of the distance that may be left, and what makes it narrow."""

    steps: int
    left: float
    settings: tuple[str, ...] = ()


LESSONS = {
    "hybridq": Lesson(40, 0.5, ("critic.width=16",)),
    "hybridq-v1": Lesson(100, 0.6),
    "mediq-v2": Lesson(24, 0.6),
    "dcgan": Lesson(100, 0.5),
    "wgan-gp": Lesson(250, 0.6),
    "fastgan": Lesson(600, 0.7, ("generator.width_cap=16", "critic.width_cap=16")),
    "stylegan2-ada": Lesson(60, 0.3, ("generator.channel_cap=16", "critic.channel_cap=16")),
    "ddpm": Lesson(60, 0.6, ("generator.width=16", "generator.sampling_steps=10")),
    "qpatch": Lesson(200, 0.8),
    "pqwgan": Lesson(100, 0.6),
    "mosaiq": Lesson(200, 0.8, ("generator.components=5",)),
    "latentqgan": Lesson(1500, 0.85, ("generator.autoencoder_kimg=4",)),
}
SLOW = {"fastgan", "mediq-v2", "wgan-gp", "ddpm"}
MODELS = [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in LESSONS]


def test_every_preset_has_its_lesson() -> None:
    """Twins are hybridq, +kit changes the training alone, -small is a narrow one of its model."""
    plain = {p for p in preset_names() if "+" not in p and not p.startswith("twin-")}
    assert {p for p in plain if not p.endswith("-small")} == set(LESSONS)


@pytest.fixture(scope="module")
def eight() -> Dataset:
    full = load_dataset("embedded", "train", SIZE)
    chosen = np.concatenate(
        [np.flatnonzero(full.labels == y)[:PER_CLASS] for y in range(len(full.classes))]
    )
    return Dataset(
        full.images[chosen],
        full.labels[chosen],
        full.classes,
        full.groups[chosen],
        full.ids[chosen],
        "train",
    )


def config_of(name: str, kimg: float) -> Config:
    flags = {"data.path": "embedded", "size": SIZE, "batch": BATCH, "kimg": kimg}
    fixed = {"device": "cpu", "precision": "float32", "save_every_kimg": 1000}
    if name == "ddpm":
        pytest.importorskip("diffusers", reason="the extra `diffusion` is not installed")
    return load_config(name, overrides=flags | fixed, assignments=LESSONS[name].settings)


def distance(generator: Generator, dataset: Dataset) -> float:
    """Mean over fakes of the mean squared difference to the nearest image, in [-1, 1]."""
    labels = [y for y in range(len(dataset.classes)) for _ in range(6)]
    fakes = torch.cat(list(generate(generator, labels, seed=0)))
    assert fakes.isfinite().all()
    assert fakes.abs().max() <= 1
    real = torch.from_numpy(dataset.images).permute(0, 3, 1, 2) / 127.5 - 1
    return ((fakes[:, None] - real[None]) ** 2).mean((2, 3, 4)).min(1).values.mean().item()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_closer_to_eight_images(name: str, eight: Dataset, tmp_path: Path) -> None:
    lesson = LESSONS[name]
    config = config_of(name, kimg=100)
    untrained = make_trainer(config, eight, make_fabric("cpu", "float32"))
    beforehand = untrained.prepare()
    before = distance(untrained.average, eight)
    kimg = (beforehand + BATCH * lesson.steps) / 1000
    result = train(config.model_copy(update={"kimg": kimg}), tmp_path, eight)
    generator, about = load_snapshot(tmp_path)
    assert about.preset == name
    assert result.images_seen == about.images_seen
    assert distance(generator, eight) < lesson.left * before


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MODELS)
def test_a_continued_run_equals_an_unbroken_one(name: str, eight: Dataset, tmp_path: Path) -> None:
    """Snapshots sample alike, and what a model fixed beforehand, or adapts, is not lost."""
    beforehand = make_trainer(config_of(name, 100), eight, make_fabric("cpu", "float32"))
    start = beforehand.generator.preparation(len(eight))
    first, last = ((start + BATCH * steps) / 1000 for steps in (4, 8))
    train(config_of(name, first), tmp_path / "broken", eight)
    train(config_of(name, last), tmp_path / "broken", eight)
    train(config_of(name, last), tmp_path / "unbroken", eight)
    name_of = f"snapshot-{last:06g}"
    assert weights(tmp_path / "broken")[name_of] == weights(tmp_path / "unbroken")[name_of]
    generator, _ = load_snapshot(tmp_path / "broken")
    one, two = (torch.cat(list(generate(generator, [0, 3, 0], seed=5))) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one[0], one[2])
