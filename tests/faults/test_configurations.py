"""Configurations, whole and broken: they survive their file, or a sentence says why not."""

import contextlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from hqgan import protocol, schema
from hqgan.config import load_config, preset_names, read_config, read_preset, to_yaml, validate
from hqgan.errors import UsageError

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

QUICK = settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
MODELS = sorted(
    {
        value
        for module in (schema, protocol)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseModel) and value is not BaseModel
    },
    key=lambda model: f"{model.__module__}.{model.__name__}",
)
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


def paths(values: dict[str, Any], before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """All keys, dotted ones as tuples."""
    found = []
    for key, value in values.items():
        found.append((*before, key))
        if isinstance(value, dict):
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
@QUICK
@given(data=st.data())
def test_every_model_round_trips_and_refuses_what_it_does_not_know(
    model: type[BaseModel], data: st.DataObject, figures: Counter
) -> None:
    """What a model accepts comes back from YAML and JSON; a stray key never is accepted."""
    values = {}
    for name, field in model.model_fields.items():
        if field.is_required() or data.draw(st.booleans()):
            values[name] = data.draw(st.from_type(field.annotation) if easy(field) else anything)
    try:
        instance = model.model_validate(values)
    except ValidationError:
        assume(True)
        return
    dumped = instance.model_dump(mode="json")
    assert model.model_validate(json.loads(json.dumps(dumped))) == instance
    assert model.model_validate(yaml.safe_load(yaml.safe_dump(dumped))) == instance
    if model.model_config.get("extra") == "forbid":
        with pytest.raises(ValidationError, match="surplus"):
            model.model_validate({**values, "surplus": 1})
    figures["instances of configuration models: round trip through YAML and JSON"] += 1


def easy(field: Any) -> bool:
    """Whether hypothesis can draw from the annotation itself."""
    return field.annotation in (int, float, str, bool) or "Literal" in str(field.annotation)


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
