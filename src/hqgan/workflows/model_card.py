"""The model card of a snapshot, filled with what its run knows: measurements, copies, time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hqgan.config import differences, load_config, read_config
from hqgan.data import EMBEDDED
from hqgan.durations import duration
from hqgan.errors import HqganError, of_the_machine
from hqgan.evaluation.records import read_records
from hqgan.evaluation.run import RECORDS
from hqgan.foreign import in_code, in_markdown
from hqgan.models import find_snapshot, read_about
from hqgan.models.card import CARD, OURS, RunFacts, model_card, read_card
from hqgan.reading import SMALL, read_json
from hqgan.training.runs import CONFIG, ENVIRONMENT, load_state, write_atomically
from hqgan.workflows.packaged_card import table, variety

UNREADABLE = (OSError, ValueError, TypeError, KeyError, OverflowError)
BUILT_IN = "synthetic lesions built into hqgan"
MEASURED = """Made by `hqgan evaluate`; a recipe treats real and generated images alike.
Floor: what the same recipe gives for real training images in the place of generated ones. Nothing
is called FID that is not 2048-dimensional Inception FID.

| split | recipe | class | value | 95 % interval | floor | real | generated | remark |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def refresh_card(path: Path, tell: Callable[[str], None] = lambda text: None) -> None:
    """Write anew the README.md of the newest snapshot of a run, or of a snapshot.

    One that is not of our making any more stays as it is; so does one for which something cannot
    be read or written, and `tell` is told so: a card costs nobody their numbers.
    """
    try:
        snapshot = find_snapshot(path)
        old = read_card(snapshot)
        if old is not None and OURS in old:
            write_atomically(snapshot / CARD, run_card(snapshot).encode("utf-8", "replace"))
    except OSError as error:
        tell(f"warning: the model card in {path} was not written: {error}")


def run_card(snapshot: Path) -> str:
    """The README.md that a snapshot should have now; its own where that is not of our making."""
    old = read_card(snapshot)
    if old is not None and OURS not in old:
        return old
    about = read_about(snapshot)
    return model_card(about, facts_of(snapshot.parent, snapshot, about.images_seen))


def facts_of(run: Path, snapshot: Path, images_seen: int) -> RunFacts:
    """What the folder that a snapshot lies in knows of it; little where that is no run folder."""
    found = measurements(run, snapshot)
    verdicts = copies(run, snapshot)
    told: dict[str, Any] = {"rows": tuple(settings_of(run) + cost_of(run, images_seen))}
    if found:
        told["measurements"] = MEASURED + table(found)
        told["variety"] = variety(found)
    if verdicts:
        told["copies"] = "\n".join(
            f"- On {one['split']}: {in_markdown(one['sentence'])}" for one in verdicts
        )
    if (run / CONFIG).is_file():
        with suppress(HqganError):
            if read_config(run / CONFIG).data.path == EMBEDDED:
                told |= {"data": BUILT_IN, "licence": "Apache-2.0"}
    return RunFacts(**told)


def settings_of(run: Path) -> list[tuple[str, str]]:
    """What differs from the preset; nothing for what was written by another version."""
    if not (run / CONFIG).is_file():
        return []
    try:
        config = read_config(run / CONFIG)
        same = {"precision": config.precision, "size": config.size, "seed": config.seed}
        changed = differences(load_config(config.preset, overrides=same), config)
    except HqganError:
        return []
    # Where the data and the run before lie is nobody's business.
    told = [one for one in changed if not one.startswith(("data.path", "init.run", "data.label"))]
    rows = [
        ("images", f"{config.size} x {config.size} pixels"),
        ("settings that differ from the preset", "; ".join(map(in_code, told)) or "none"),
    ]
    if config.init:
        rows.append(("fine-tuned", "yes, from another generator"))
    return rows


def cost_of(run: Path, images_seen: int) -> list[tuple[str, str]]:
    """Time and machine of the training, as far as they are known of this snapshot."""
    rows = []
    with suppress(HqganError), forgiving():
        state = load_state(run)
        if state is not None and state["images_seen"] == images_seen:
            rows.append(("training time", duration(state["seconds"])))
    with forgiving():
        made = read_json(run / ENVIRONMENT, SMALL)
        machine = f"{made['device']} ({made['machine']}, {made['threads']} threads)"
        versions = f"hqgan {made['hqgan']}, torch {made['torch']}"
        rows.append(("trained on", in_markdown(f"{machine}, {made['precision']}, {versions}")))
    return rows


def measurements(run: Path, snapshot: Path) -> list[dict[str, Any]]:
    """The last full measurement of each number; points of curves are none.

    Records of hqgan before points of curves were marked are taken for such where no floor is.
    Lines that cannot be made sense of are left out.
    """
    last: dict[tuple[str, ...], dict[str, Any]] = {}
    for record in read_records(run / RECORDS)[0]:
        of_curve = record.get("curve", record["floor"] is None)
        if record["snapshot"] == snapshot.name and not of_curve:
            key = (record["split"], record["extractor"], record["recipe"], record["class"] or "")
            last[key] = record
    return list(last.values())


def copies(run: Path, snapshot: Path) -> list[dict[str, Any]]:
    """Verdicts of `hqgan evaluate --privacy` on this snapshot; damaged ones are left out."""
    verdicts = []
    for file in sorted(run.glob("privacy/**/privacy.json")):
        with forgiving():
            found = read_json(file)
            if found["snapshot"] == snapshot.name:
                split = "test" if found["final"] else "val"
                said = {key: str(found[key]) for key in ("verdict", "sentence")}
                verdicts.append({"split": split} | said)
    return verdicts


@contextmanager
def forgiving() -> Iterator[None]:
    """Inside, what is damaged or of another kind is left out; a disk that fails is not forgiven."""
    try:
        yield
    except UNREADABLE as error:
        if of_the_machine(error):
            raise
