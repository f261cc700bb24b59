"""Configurations, whole and broken: they survive their file, or a sentence says why not."""

import contextlib
import copy
import json
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from faults.model_values import all_models, values_of
from hqgan.config import (
    load_config,
    preset_names,
    read_config,
    read_preset,
    to_yaml,
    validate,
    validated,
)
from hqgan.errors import UsageError
from hqgan.protocol import Protocol, read_protocol
from hqgan.schema import Config
from hqgan.tables import Table, table_names
from hqgan.workflows.study import EXAMPLE

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

QUICK = settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
MODELS = all_models()
FEWEST = 30  # instances of each model
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 70)
    | st.sampled_from([10**9, -(10**30), 1e-9, 1e300, float("nan"), float("inf"), -0.0])
    | st.floats(0, 2)
    | st.text(max_size=8)
    | st.sampled_from(["auto", "hybridq", "none", "!!python/object:os.system", "${HOME}", "\0"])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner)
)


def paths(values: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All keys, each with the keys and numbers above it."""
    inner = values.items() if isinstance(values, dict) else enumerate(values)
    found = []
    for key, value in inner:
        if isinstance(values, dict):
            found.append((*before, key))
        if isinstance(value, dict | list):
            found += paths(value, (*before, key))
    return found


@QUICK
@given(data=st.data(), preset=st.sampled_from(preset_names()))
def test_a_preset_with_anything_changed_round_trips_or_names_the_key(
    data: st.DataObject, preset: str, tmp_path_factory: pytest.TempPathFactory, figures: Counter
) -> None:
    values = {**read_preset(preset), "preset": preset}
    values.setdefault("data", {}).setdefault("path", "embedded")
    changed = []
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(paths(values)))
        section = values
        for key in path[:-1]:
            section = section[key]
        action = data.draw(st.sampled_from(["scale", "scale", "scale", "set", "misspell", "add"]))
        if action == "scale":
            value = section[path[-1]]
            if type(value) in (int, float):
                section[path[-1]] = value * data.draw(st.sampled_from([0, 1, 2, 0.5]))
                changed.append(path[-1])
            continue
        if action == "misspell" and len(path[-1]) > 3:
            section[path[-1][:-1]] = section.pop(path[-1])
            changed.append(path[-1][:-1])
        elif action == "add" and isinstance(section.get(path[-1]), dict):
            section[path[-1]]["surplus"] = 1
            changed.append("surplus")
        else:
            section[path[-1]] = data.draw(anything)
            changed.append(path[-1])
    try:
        config = validate(values)
    except UsageError as refusal:
        message = str(refusal)
        assert any(key in message for key in changed), message
        assert len(message) < 4000
        assert "pydantic" not in message
        figures["fuzzed configurations: refused, the key named"] += 1
        return
    file = tmp_path_factory.getbasetemp() / "config.yaml"
    file.write_text(to_yaml(config), encoding="utf-8")
    assert read_config(file) == config
    figures["fuzzed configurations: round trip"] += 1


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_model_round_trips_and_refuses_what_it_does_not_know(
    model: type[BaseModel], figures: Counter
) -> None:
    """What a model accepts comes back from YAML and JSON; a stray key never is accepted."""
    accepted = tried = 0

    @QUICK
    @given(values=values_of(model))
    def comes_back(values: dict[str, Any]) -> None:
        nonlocal accepted, tried
        tried += 1
        try:
            instance = model.model_validate(values)
        except ValidationError:
            return
        accepted += 1
        dumped = instance.model_dump(mode="json")
        assert model.model_validate(json.loads(json.dumps(dumped))) == instance
        assert model.model_validate(yaml.safe_load(to_yaml(instance))) == instance
        with pytest.raises(UsageError, match="unknown key 'surplus'"):
            validated(model, {**values, "surplus": 1}, "model")

    comes_back()
    assert accepted >= FEWEST or accepted == tried  # of some models there are only so many
    figures["instances of configuration models: round trip through YAML and JSON"] += accepted


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@QUICK
@given(data=st.data())
def test_every_model_survives_anything(
    model: type[BaseModel], data: st.DataObject, figures: Counter
) -> None:
    names = data.draw(st.lists(st.sampled_from([*model.model_fields, "surplus"]), unique=True))
    with contextlib.suppress(UsageError):
        validated(model, {name: data.draw(anything) for name in names}, "model")
    figures["configuration models filled with anything: refused, or taken"] += 1


FILES = {
    **{
        f"preset {name}": (Config, read_preset(name) | {"preset": name, "data": {"path": "x"}})
        for name in preset_names()
    },
    "protocol": (Protocol, yaml.safe_load(EXAMPLE.read_text()) | {"data": "x"}),
    **{
        f"table {name}": (
            Table,
            yaml.safe_load(resources.files("hqgan.tables").joinpath(f"{name}.yaml").read_text()),
        )
        for name in table_names()
    },
}
OWN_NAMES = ("learning_rate", "weights", "arms")  # sections of a study whose keys are names


@pytest.mark.parametrize("name", FILES)
def test_a_key_that_is_misspelt_is_named_with_the_right_one(name: str, figures: Counter) -> None:
    """Every key of every file that comes with the package, two letters of it swapped."""
    model, values = FILES[name]
    for path in paths(values):
        *above, key = path
        if above and above[-1] in OWN_NAMES:
            continue
        changed = copy.deepcopy(values)
        section = changed
        for part in above:
            section = section[part]
        wrong = key[:-3] + key[-2] + key[-3] + key[-1] if len(set(key[-3:-1])) > 1 else key + "x"
        section[wrong] = section.pop(key)
        with pytest.raises(UsageError) as refused:
            validated(model, changed, "file")
        shown = ".".join(map(str, path[:-1]))
        message = str(refused.value)
        assert f"'{shown}.{wrong}'" in message or f"'{wrong}'" in message, message
        assert f"Did you mean '{'.'.join(map(str, path))}'?" in message, message
        figures["misspelt keys: named, with the right one"] += 1


def test_a_wrong_key_is_told_with_the_file_that_it_is_in(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("optimizer: adam\n")
    with pytest.raises(UsageError, match=r"mine\.yaml is wrong: unknown key 'optimizer'"):
        load_config(file=file)
    file.write_text(EXAMPLE.read_text().replace("seeds:", "sedes:"))
    with pytest.raises(UsageError, match=r"mine\.yaml is wrong: unknown key 'sedes'.*'seeds'"):
        read_protocol(file)
    file.write_text("preset: hybridq\nszie: 64\n")
    with pytest.raises(UsageError, match=r"mine\.yaml .*unknown key 'szie'.*'size'"):
        read_config(file)


@QUICK
@given(text=st.text(max_size=200) | st.binary(max_size=200))
def test_any_file_is_a_configuration_or_a_sentence(
    text: str | bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file: Path = tmp_path_factory.getbasetemp() / "any.yaml"
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    file.write_bytes(content)
    with contextlib.suppress(UsageError):
        load_config(file=file)


@pytest.mark.parametrize(
    "text",
    [
        "kimg: !!python/object/apply:os.system ['touch owned']",
        "a: &a [" + "*a, " * 3 + "]",
        "\n".join(
            [
                "a0: &a0 [x]",
                *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)),
            ]
        ),
        "[" * 2000,
        "kimg: 1_0e" + "9" * 400,
    ],
    ids=["python object", "circle", "billion laughs", "depth", "long number"],
)
def test_hostile_yaml_runs_nothing_and_ends(text: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "hostile.yaml"
    file.write_text(text)
    with pytest.raises(UsageError):
        load_config(file=file)
    assert not (tmp_path / "owned").exists()
