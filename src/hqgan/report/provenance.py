"""Under every page: what it cost, by which versions, and the exact command that makes it again."""

import json
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hqgan.config import flat, load_config, read_config
from hqgan.data import EMBEDDED
from hqgan.errors import HqganError
from hqgan.report.pieces import command, facts, heading, paragraph, section
from hqgan.schema import Config
from hqgan.training.runs import CONFIG, ENVIRONMENT

# Keys with a flag of their own; all others go by --set.
FLAGS = {
    "data.path": "--data",
    "data.label": "--label",
    "size": "--size",
    "kimg": "--kimg",
    "batch": "--batch",
    "seed": "--seed",
    "device": "--device",
    "init.run": "--init",
    "noise.device": "--noise",
}
# Those that all models of a comparison share; its other keys go by --set.
COMPARED = ("data.path", "data.label", "size", "kimg", "seed", "device")
PLAIN = re.compile(r"[\w./-]+")

Pairs = Sequence[tuple[str, str]]


def provenance(
    cost: Pairs, commands: Sequence[tuple[str, str]], versions: Mapping[str, str], sums: Pairs = ()
) -> str:
    """The last two sections of a page.

    Args:
        cost: names and values.
        commands: what each does, and what is to be typed.
        versions: of packages and machines.
        sums: what the data are known by.
    """
    made = [part for said, text in commands for part in (paragraph(said), command(text, said))]
    return section("Cost", facts(cost) if cost else "") + section(
        "Make it again",
        *made,
        *([heading("Identity"), facts(sums)] if sums else []),
        heading("Versions"),
        facts(list(versions.items()))
        if versions
        else paragraph("They are not known: there is no env.json."),
    )


def versions_of(folders: Iterable[Path]) -> dict[str, str]:
    """What the env.json files in these folders say, each value that occurs once; damaged ones not.

    How many threads and processes there were is part of it: bit-equal runs need the same.
    """
    found: dict[str, list[str]] = {}
    for folder in folders:
        try:
            known = dict(json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError):
            continue
        for name, value in known.items():
            found.setdefault(name, []).append(str(value))
    return {name: " / ".join(dict.fromkeys(values)) for name, values in found.items()}


def shell(*words: object) -> str:
    """A command as it is typed; None is left out, as are the flag and value of a (flag, None)."""
    plain: list[str] = []
    for word in words:
        if isinstance(word, tuple):
            plain += [str(part) for part in word] if word[1] is not None else []
        elif word is not None:
            plain.append(str(word))
    return shlex.join(plain)


def train_command(config: Config, out: Path) -> str:
    """The shortest `hqgan train` that resolves to this configuration."""
    flags = {flag: value for flag, value in flags_of(config).items() if value is not None}
    settings = [word for one in settings_of(config) for word in ("--set", one)]
    named = [str(word) for pair in flags.items() for word in pair]
    return shell("hqgan", "train", "--preset", config.preset, *named, *settings, ("--out", out))


def flags_of(config: Config) -> dict[str, Any]:
    """The flags whose value is not what the preset has without them; None elsewhere."""
    mine = flat(config)
    preset = flat(load_config(config.preset, None, {"data.path": EMBEDDED}))
    values: dict[str, Any] = {}
    for key, flag in FLAGS.items():
        value = mine.get(key)
        same = key != "data.path" and value == preset.get(key)
        values[flag] = None if same else value
    if values["--noise"] is not None:
        values["--noise"] = f"aer:{values['--noise']}"
    return values


def settings_of(config: Config, flags: Collection[str] = tuple(FLAGS)) -> list[str]:
    """What the flags of these keys do not say of a configuration, as `--set` takes it."""
    mine = flat(config)
    shared = {key: mine.get(key) for key in flags}
    base = flat(load_config(config.preset, None, shared))
    changed = {key for key in mine.keys() | base.keys() if mine.get(key) != base.get(key)}
    whole = {key.partition(".")[0] for key in changed if key.endswith(".name")}
    plain = config.model_dump(mode="json")
    written = {part: plain[part] for part in whole}
    written |= {key: mine.get(key) for key in changed if key.partition(".")[0] not in whole}
    return [f"{key}={as_yaml(written[key])}" for key in sorted(written)]


def as_yaml(value: Any) -> str:
    """A value in one line of YAML; a word is only that."""
    plain = isinstance(value, str) and PLAIN.fullmatch(value) and yaml.safe_load(value) == value
    return str(value) if plain else json.dumps(value, ensure_ascii=False)


def compare_settings(configs: Mapping[str, Config]) -> list[str]:
    """`--set` of a comparison: by model name its first run's configuration.

    What all models have is said once, the rest with the model before it.
    """
    found = {model: settings_of(one, COMPARED) for model, one in configs.items()}
    everywhere = set.intersection(*map(set, found.values())) if found else set()
    common = [one for one in next(iter(found.values()), []) if one in everywhere]
    mine = [
        f"{model.partition('+')[0]}:{one}"
        for model, several in found.items()
        for one in several
        if one not in everywhere
    ]

    return list(dict.fromkeys([*common, *mine]))


def config_of(folder: Path) -> Config | None:
    """The configuration of a run folder, or None where there is none, or none that can be read."""
    if not (folder / CONFIG).is_file():
        return None
    try:
        return read_config(folder / CONFIG)
    except HqganError:
        return None
