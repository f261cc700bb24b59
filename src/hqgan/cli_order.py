"""The order of commands in `hqgan --help`: as a newcomer needs them."""

from typing import Any

from typer.core import TyperGroup

ORDER = (
    *("demo", "sample", "data", "train", "evaluate", "report", "app"),
    *("augment", "study", "compare", "probe", "reproduce"),
    *("hardware", "export", "doctor"),
)


class NewcomersFirst(TyperGroup):
    """Lists commands by `ORDER`; one that is not there comes last."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
