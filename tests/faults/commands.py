"""The commands whose faults are tried, as small as they get, and what they work on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from hqgan.training import train
from small_images import write_picture
from small_runs import CLASSES, NARROW, SIZE, tiny_config, write_folders

SETTINGS = ["precision=float32", "batch=8", "save_every_kimg=0.016"]
HYBRIDQ = ["generator.qubits=2", "generator.circuit_layers=1", "critic.width=8"]


@dataclass(frozen=True)
class Place:
    """What the commands work on, all of it small."""

    folder: Path
    data: Path
    run: Path
    study: Path


def make_place(folder: Path) -> Place:
    """Data of three classes, a run trained for four steps, a protocol of two arms."""
    data = write_folders(folder / "data", train=8, held_out=8)
    for number in range(4):  # one class is larger, so that the others can be filled up
        file = data / "train" / CLASSES[0] / f"more-{number}.png"
        write_picture(file, 77_000 + number, width=SIZE, height=SIZE)
    train(tiny_config(0.032, "generator.z_dim=8", data=data), folder / "run")
    protocol = {
        "data": str(data),
        "size": SIZE,
        "seeds": 2,
        "classifier": {"steps": 8, "batch": 8},
        "generators": {"kimg": 0.032, "set": ["batch=8", "precision=float32", *NARROW]},
        "arms": {
            "real": {"augmentation": "none"},
            "hybridq": {"generator": "hybridq", "ratio": 0.5, "copy_filter": False},
        },
        "primary": {"comparisons": [["hybridq", "real"]]},
        "extractor": "tiny",
        "device": "cpu",
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(protocol))
    return Place(folder, data, folder / "run", folder / "study.yaml")


def training(place: Place, out: Path) -> list[str]:
    settings = [*SETTINGS, *HYBRIDQ, "device=cpu"]
    sets = [f"--set={one}" for one in settings]
    return ["train", f"--data={place.data}", f"--out={out}", "--size=32", "--kimg=0.12", *sets]


def augmentation(place: Place, out: Path) -> list[str]:
    what = [f"--data={place.data}", f"--run={place.run}", f"--out={out}"]
    return ["augment", *what, "--judge-steps=8"]


def comparison(place: Place, out: Path) -> list[str]:
    sets = [f"--set={one}" for one in (*SETTINGS, *(f"hybridq:{one}" for one in HYBRIDQ))]
    numbers = ["--size=32", "--kimg=0.032", "--n=12", "--curve-n=12", "--device=cpu"]
    models = "--models=hybridq,dcgan"
    return ["compare", f"--data={place.data}", f"--out={out}", models, *numbers, *sets]


def study(place: Place, out: Path) -> list[str]:
    return ["study", str(place.study), f"--out={out}"]


Command = Callable[[Place, Path], list[str]]
