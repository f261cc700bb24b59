"""Named tables, as YAML files: which models are compared, on how many images, with how many seeds.

A table is a file with the keys of `Table`. `hqgan reproduce NAME` runs it.
"""

from importlib import resources
from typing import Annotated, Literal

import yaml
from pydantic import Field, field_validator

from hqgan.config import did_you_mean, preset_names, validated
from hqgan.errors import UsageError
from hqgan.schema import Kimg, Section

Seeds = Annotated[int, Field(ge=1, le=1000, strict=True)]


class Claim(Section):
    """What the paper says of a model, in a few words, without a number that it does not give."""

    says: Annotated[str, Field(min_length=1, max_length=120)]
    evidence: Literal["C", "S", "I"] = Field(
        description="C: read in the abstract or the official code; S: a secondary source; "
        "I: inferred by us"
    )


class Row(Section):
    """One model of a table."""

    model: str
    kimg: Kimg | None = Field(
        None, description="null takes the table's; fewer, for models too large for two cores"
    )
    seeds: Seeds | None = Field(None, description="null takes the table's")
    set: list[str] = Field(default_factory=list, description='further settings, "a.b=c"')
    paper: Claim | None = Field(None, description="null where the paper says nothing")

    @field_validator("model")
    @classmethod
    def is_a_preset(cls, name: str) -> str:
        known = preset_names()
        if name not in known:
            raise ValueError(f"no preset is called so.{did_you_mean(name, known)}")
        return name


class Table(Section):
    """A table, complete but for the place of the data."""

    name: str
    title: str
    data: str = Field(description="name of the data set, for people")
    data_checksum: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = Field(
        description="sha256 of the train split at this size, see `hqgan.data.Dataset.checksum`"
    )
    extractor: Literal["tiny", "inception768", "inception2048"] = Field(
        description="what all rows are measured by, see `hqgan.evaluation.features`"
    )
    size: Literal[32, 64, 128]
    kimg: Kimg
    seeds: Seeds
    n: Annotated[int, Field(ge=2, strict=True)] | None = Field(
        None, description="generated images of a measurement; null takes as many as there are real"
    )
    curve_n: Annotated[int, Field(ge=2, strict=True)] | None = Field(
        None, description="generated images at each point of a curve; null takes compare's"
    )
    rows: Annotated[list[Row], Field(min_length=1)]

    @field_validator("rows")
    @classmethod
    def each_once(cls, rows: list[Row]) -> list[Row]:
        """Runs are called after their model."""
        names = [row.model for row in rows]
        if len(set(names)) < len(names):
            raise ValueError("names a model twice")
        return rows


def table_names() -> list[str]:
    """The packaged tables."""
    files = resources.files("hqgan.tables").iterdir()
    return sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml"))


def read_table(name: str) -> Table:
    """A packaged table.

    Raises:
        UsageError: there is none of this name.
    """
    known = table_names()
    if name not in known:
        raise UsageError(
            f"no table is called {name!r}; tables are {', '.join(known)}."
            f"{did_you_mean(name, known)}"
        )
    text = resources.files("hqgan.tables").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return validated(Table, yaml.safe_load(text) | {"name": name}, f"table {name}")
