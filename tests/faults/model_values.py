"""Plain values for any pydantic model, drawn from its annotations, and a list of all models."""

import importlib
import pkgutil
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import BaseModel

import hqgan
from hqgan.config import preset_names
from hqgan.protocol import Arm, Protocol

PRESETS = st.sampled_from(preset_names())
FRACTIONS = st.lists(st.floats(0.01, 1), min_size=1, max_size=2, unique=True)
# Fields whose values are names of something, or depend on each other.
KNOWN = {"preset": PRESETS, "model": PRESETS, "fractions": FRACTIONS, "loggers": st.just([])}
TEXT = st.text("abz09 é/-_.:#'\"\n", min_size=1, max_size=12)


def all_models() -> list[type[BaseModel]]:
    """Every model that hqgan defines, wherever it is, in the order of their names."""
    for module in pkgutil.walk_packages(hqgan.__path__, "hqgan."):
        if not module.name.startswith(("hqgan.app", "hqgan.__main__")):
            importlib.import_module(module.name)
    found, left = set(), [BaseModel]
    while left:
        for model in left.pop().__subclasses__():
            left.append(model)
            if model.__module__.startswith("hqgan."):
                found.add(model)
    return sorted(found, key=lambda model: f"{model.__module__}.{model.__name__}")


def values_of(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    """Values of which most are accepted; optional fields may be absent."""
    if model is Protocol:
        return protocols()
    required, optional = {}, {}
    for name, field in model.model_fields.items():
        (required if field.is_required() else optional)[name] = of_field(name, field)
    if model is Arm:
        optional["generator"] = PRESETS
    made = st.fixed_dictionaries(required, optional=optional)
    return made.map(with_betas) if "betas" in model.model_fields else made


def of_field(name: str, field: Any) -> st.SearchStrategy[Any]:
    """Of one field of a model."""
    known = KNOWN.get(name)
    return drawn_from(field.annotation, tuple(field.metadata)) if known is None else known


def with_betas(values: dict[str, Any]) -> dict[str, Any]:
    """Adam needs them, and nothing else takes them."""
    adam = values.get("optimiser", "adam") == "adam"
    return {**values, "betas": values.get("betas") or [0.0, 0.99]} if adam else drop(values)


def drop(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != "betas"}


@st.composite
def protocols(draw: st.DrawFn) -> dict[str, Any]:
    """Studies whose comparisons are of their own arms."""
    names = draw(st.lists(st.from_regex(r"[a-z][a-z0-9._-]{0,8}", fullmatch=True), min_size=2,
                          max_size=4, unique=True))  # fmt: skip
    arm = values_of(Arm).filter(lambda one: not isinstance(one.get("ratio"), list))
    pair = st.lists(st.sampled_from(names), min_size=2, max_size=2, unique=True)
    fields = {name: field for name, field in Protocol.model_fields.items() if name != "classifiers"}
    made = {
        name: of_field(name, field)
        for name, field in fields.items()
        if name not in ("arms", "primary", "baseline", "classifier")
    }
    return {
        **draw(st.fixed_dictionaries({"data": made.pop("data")}, optional=made)),
        "arms": {name: draw(arm) for name in names},
        "primary": {"comparisons": [draw(pair)]},
        "baseline": draw(st.none() | st.sampled_from(names)),
    }


def drawn_from(annotation: Any, limits: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    """Of a type as pydantic reads it, within its limits."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        first, *more = inner
        deeper = [part for one in more for part in getattr(one, "metadata", [one])]
        return drawn_from(first, (*limits, *deeper))
    if origin in (Union, types.UnionType):
        return st.one_of(*(drawn_from(part, limits) for part in inner))
    if origin is Literal:
        return st.sampled_from(inner)
    small = limit(limits, "min_length", 0)
    if origin is list or (origin is tuple and inner[1:] == (...,)):
        most = limit(limits, "max_length", small + 2)
        return st.lists(drawn_from(inner[0]), min_size=small, max_size=most)
    if origin is tuple:
        return st.tuples(*(drawn_from(part) for part in inner)).map(list)
    if origin is dict:
        return st.dictionaries(*(drawn_from(part) for part in inner), min_size=small, max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return values_of(annotation)
    return plain(annotation, limits, small)


def plain(kind: Any, limits: tuple[Any, ...], small: int) -> st.SearchStrategy[Any]:
    """A number, a word, a truth or nothing."""
    if kind is bool:
        return st.booleans()
    if kind is int:
        low = limit(limits, "ge", limit(limits, "gt", -1) + 1)
        return st.integers(low, limit(limits, "le", low + 1000))
    if kind is float:
        low, high = limit(limits, "ge", limit(limits, "gt", 0)), limit(limits, "lt", None)
        above, below = limit(limits, "gt", None) is not None, high is not None
        high = limit(limits, "le", low + 1000) if high is None else high
        return st.floats(low, high, exclude_min=above, exclude_max=below)
    if kind is str:
        pattern = limit(limits, "pattern", None)
        if pattern:
            return st.from_regex(pattern.rstrip("$").lstrip("^"), fullmatch=True).filter(
                lambda text: small <= len(text) <= limit(limits, "max_length", 1000)
            )
        return TEXT
    if kind is type(None):
        return st.none()
    raise AssertionError(f"a type that is new here: {kind}")


def limit(limits: tuple[Any, ...], name: str, otherwise: Any) -> Any:
    """One limit of a field, by pydantic's name for it."""
    for one in limits:
        found = getattr(one, name, None)
        if found is not None:
            return found
    return otherwise
