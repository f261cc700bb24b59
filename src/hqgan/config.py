"""The configuration of a run: the only place where YAML, flags and environment become Python.

A run is described by one `Config`. It is resolved from a preset, then a file, then flags, then
`--set a.b=c`, each overriding the one before; what comes out is written whole to the run folder.
Unknown keys are errors.
"""

import copy
import difflib
import os
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from hqgan.errors import UsageError, raise_if_of_the_machine
from hqgan.errors import did_you_mean as did_you_mean
from hqgan.schema import Config

# Keys that may differ when a run is continued: how far it goes, where it runs and who is told, not
# what is computed. The data are compared by content, so their folder may move.
FREE_TO_CHANGE = ("kimg", "device", "data.path", "save_every_kimg", "loggers")
Model = TypeVar("Model", bound=BaseModel)
LONGEST = 200  # characters of a wrong value that are quoted
KIT = "kit"  # presets/kit.yaml, what `+kit` lays over another preset


def preset_names() -> list[str]:
    """The packaged presets, each followed by its `+kit` where the kit changes anything."""
    names = sorted(
        f.name.removesuffix(".yaml")
        for f in resources.files("hqgan.presets").iterdir()
        if f.name.endswith(".yaml") and f.name != f"{KIT}.yaml"
    )
    return [
        known for name in names for known in (name, f"{name}+{KIT}") if name == known or gains(name)
    ]


def gains(name: str) -> bool:
    """Whether a preset is of an adversarial model that comes without any of our kit."""
    values = read_preset(name)
    bare = values["generator_training"]["ema_kimg"] == values["augmentation"]["strength"] == 0
    return bare and "critic" in values and "target" not in values["augmentation"]


@cache
def _preset(name: str) -> dict[str, Any]:
    if name.endswith(f"+{KIT}"):
        return merge(_preset(name.removesuffix(f"+{KIT}")), _preset(KIT))
    text = resources.files("hqgan.presets").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    values: dict[str, Any] = yaml.safe_load(text)
    base = values.pop("based_on", None)
    return merge(_preset(base), values) if base else values


def read_preset(name: str) -> dict[str, Any]:
    """The keys of a packaged preset, over those of the one it is `based_on`.

    NAME+kit is NAME with our training kit (weight average, augmentation, balanced sampling), so
    that a comparison can tell what the kit does from what the model does.
    """
    return copy.deepcopy(_preset(name))


def load_config(
    preset: str | None = None,
    file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    assignments: Sequence[str] = (),
) -> Config:
    """Resolve a configuration: preset < file < overrides < assignments.

    Args:
        preset: name of a packaged preset; None takes the one the file names, else "hybridq".
        file: YAML with any subset of the keys of `Config`.
        overrides: dotted key to value; None values are skipped: absent flags change nothing.
        assignments: "a.b=c" texts as given to `--set`; c is read as YAML.

    Raises:
        UsageError: for an unknown preset, key or value; the message names it and the nearest known
            one.
    """
    values = read_yaml(file) if file else {}
    preset = preset or str(values.get("preset") or "hybridq")
    known = preset_names()
    if preset not in known:
        raise UsageError(
            f"unknown preset {preset!r}; known are {', '.join(known)}.{did_you_mean(preset, known)}"
        )
    values = merge(read_preset(preset), {**values, "preset": preset})
    for key, value in (overrides or {}).items():
        if value is not None:
            assign(values, key, value)
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise UsageError(
                f"--set takes KEY=VALUE such as generator.qubits=8, but got {assignment!r}"
            )
        try:
            assign(values, key.strip(), yaml.safe_load(value))
        except (yaml.YAMLError, ValueError) as error:
            raise UsageError(
                f"--set {key}: cannot read the value {value!r} as YAML: {error}"
            ) from error
    if values["preset"] != preset:
        raise UsageError(f"--set preset={values['preset']} comes too late: use --preset instead")
    if isinstance(values.get("data"), dict):
        values["data"].setdefault("path", os.environ.get("HQGAN_DATA") or "embedded")
    return validated(Config, values, f"configuration of {file}" if file else "configuration")


def own_settings(assignments: Sequence[str], preset: str) -> list[str]:
    """Those of "a.b=c" and "NAME:a.b=c" that concern a preset, without its name.

    NAME is also that of NAME+kit.
    """
    mine = []
    for assignment in assignments:
        name, colon, rest = assignment.partition(":")
        if not colon or "=" in name:
            mine.append(assignment)
        elif name == preset.removesuffix(f"+{KIT}"):
            mine.append(rest)
    return mine


def validate(values: Mapping[str, Any]) -> Config:
    """Plain values to a `Config`, or a `UsageError` that names every wrong key."""
    return validated(Config, values, "configuration")


def validated(model: type[Model], values: Mapping[str, Any], what: str) -> Model:
    """Plain values to a `model`, which users call `what`; a `UsageError` names every wrong key."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UsageError(
            f"the {what} is wrong: " + "; ".join(explain(e, model) for e in error.errors())
        ) from error


def explain(error: Mapping[str, Any], top: type[BaseModel]) -> str:
    """One pydantic error of a `top` as a phrase: the key, the value seen and what is expected."""
    known = known_keys(top)
    place = [str(part) for part in error["loc"]]
    part = place[0] if place else ""
    # Between a union's key and the key in it pydantic names the member.
    model = place.pop(1) if part in ("generator", "critic") and len(place) > 1 else None
    key = ".".join(place)
    if error["type"] == "extra_forbidden":
        if key in known:
            return f"key {key!r} is not one of the {part} {model!r}"
        near = difflib.get_close_matches(place[-1], siblings(top, error["loc"]), n=1)
        right = ".".join([*place[:-1], *near])
        return f"unknown key {key!r}.{did_you_mean(key, [right] if near else known)}"
    if error["type"] == "union_tag_not_found":
        stray = [name for name in error["input"] if f"{key}.{name}" not in known]
        tag = [f"{key}.name"]
        unknown = [
            f"unknown key {name!r}.{did_you_mean(name, tag)}"
            for name in (f"{key}.{one}" for one in stray)
        ]
        return "; ".join([f"key '{key}.name' is missing", *unknown])
    if error["type"] == "missing":
        return f"key {key!r} is missing" + (f" (the {part} {model!r} needs it)" if model else "")
    if error["type"] == "union_tag_invalid":
        context = error["ctx"]
        return f"{key}.name is {context['tag']!r}, but must be one of {context['expected_tags']}"
    said = error["msg"].removeprefix("Value error, ")
    if isinstance(error["input"], dict):
        return f"{key}: {said}" if key else said
    seen = repr(error["input"])
    seen = seen if len(seen) <= LONGEST else f"{seen[:LONGEST]}..."
    return f"{key} is {seen}: {said[0].lower()}{said[1:]}"


def known_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every dotted key that a configuration may have."""
    keys = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        for section in sections(field.annotation):
            keys += known_keys(section, f"{prefix}{name}.")
    return keys


def siblings(top: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """The keys that may stand where a pydantic error says that one should not.

    A part of `place` is a key, the member of a union, a name that the user chose or a number.
    """
    here, chosen = [top], False
    for part in place[:-1]:
        below = [one.model_fields[str(part)] for one in here if part in one.model_fields]
        if chosen:  # an arm may be named as one of its own keys is
            chosen = False
        elif below:
            here = [section for field in below for section in sections(field.annotation)]
            chosen = any(get_origin(field.annotation) in (dict, list) for field in below)
        else:
            members = [one for one in here if part in names_of(one)]
            here = members or here
    return [name for one in here for name in one.model_fields]


def names_of(section: type[BaseModel]) -> tuple[Any, ...]:
    """What the key `name` of a member of a union may be."""
    field = section.model_fields.get("name")
    return get_args(field.annotation) if field else ()


def sections(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a field's type allows, however deep in unions they are."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for part in get_args(annotation) for section in sections(part)]


class UniqueKeys(yaml.SafeLoader):
    """Refuses a mapping with a key that is there twice, of which YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = key.value
            if key.tag != "tag:yaml.org,2002:merge" and isinstance(name, str):
                if name in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {name!r} is there twice", key.start_mark
                    )
                seen.add(name)
        return super().construct_mapping(node, deep)


def read_yaml(file: Path) -> dict[str, Any]:
    """A YAML file with a mapping at its top, or a `UsageError` that names it."""
    try:
        values = yaml.load(file.read_text(encoding="utf-8"), UniqueKeys)  # noqa: S506
    except OSError as error:
        raise_if_of_the_machine(error, file)
        raise UsageError(f"cannot read the configuration {file}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:  # a date such as 2020-13-45 is a ValueError
        raise UsageError(f"{file} is not valid YAML: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{file} is nested too deeply to be a configuration") from error
    if not isinstance(values, dict):
        raise UsageError(f"{file} must hold keys and values, but holds {type(values).__name__}")
    return values


def read_config(file: Path) -> Config:
    """The config.yaml of a run; a `UsageError` names the file."""
    values = read_yaml(file)
    try:
        return validate(values)
    except UsageError as error:
        raise UsageError(
            f"{file} is of another version of hqgan or was edited (mend it, or use the version "
            f"that wrote it): {error}"
        ) from error


def merge(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """`top` over `base`, section by section; one with another `name` replaces the old one whole."""
    merged = dict(base)
    for key, value in top.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            same = value.get("name", old.get("name")) == old.get("name")
            value = merge(old, value) if same else value
        merged[key] = value
    return merged


def assign(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in nested dictionaries, making sections on the way."""
    *sections, last = key.split(".")
    for section in sections:
        inner = values.get(section)
        if inner is None:
            inner = values[section] = {}
        if not isinstance(inner, dict):
            raise UsageError(f"{key!r} goes below {section!r}, which is a value and not a section")
        values = inner
    values[last] = value


def to_yaml(config: BaseModel | Mapping[str, Any]) -> str:
    """The whole configuration, as config.yaml holds it."""
    values = config.model_dump(mode="json") if isinstance(config, BaseModel) else dict(config)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def differences(old: BaseModel, new: BaseModel) -> list[str]:
    """Keys whose change would make a continued run another run, as "key: old -> new"."""
    before, after = flat(old), flat(new)
    return [
        f"{key}: {before.get(key)!r} -> {after.get(key)!r}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and key not in FREE_TO_CHANGE
    ]


def flat(values: BaseModel | Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys to plain values, of a configuration or of a part of one."""
    leaves: dict[str, Any] = {}
    plain = values.model_dump(mode="json") if isinstance(values, BaseModel) else values
    for key, value in plain.items():
        inner = isinstance(value, dict)
        leaves |= flat(value, f"{prefix}{key}.") if inner else {prefix + key: value}
    return leaves
