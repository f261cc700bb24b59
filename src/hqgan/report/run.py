"""The page of a run, a snapshot or a packaged generator: all that is known of one generator."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hqgan.config import read_config
from hqgan.data import EMBEDDED, Dataset, load_dataset
from hqgan.durations import duration
from hqgan.errors import DataError, HqganError, RunError, UsageError
from hqgan.evaluation.costs import costs
from hqgan.evaluation.probes import quantum_block
from hqgan.evaluation.records import is_plain
from hqgan.evaluation.run import data_of
from hqgan.models import About, Generator, find_snapshot, load_snapshot, snapshots
from hqgan.pretrained import is_packaged
from hqgan.report.page import PURPOSE, html_page
from hqgan.report.pieces import charts, listed, missing, paragraph, section
from hqgan.report.probe import how, verdicts
from hqgan.report.probe_figure import panel_charts
from hqgan.report.provenance import provenance, shell, train_command, versions_of
from hqgan.report.run_circuit import circuit
from hqgan.report.run_metrics import measurements
from hqgan.report.run_privacy import memorisation
from hqgan.report.run_samples import sheet, walks
from hqgan.report.run_training import training_curves
from hqgan.report.stored import PROBE, read_probe, readable
from hqgan.schema import Config
from hqgan.training.runs import CONFIG, METRICS, read_records
from hqgan.workflows.sample import spare_compilation

FEW_IMAGES = 100  # for which no kernel is compiled
Stage = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Material:
    """What a page is made of.

    Attributes:
        path: as it was asked for.
        run: the folder that holds what is known besides the weights; `path`, its parent, or a
            packaged generator's.
        config: None for a generator without its run.
        snapshot: None for a run that has none yet, with generator and about.
        seed: of latents, and of which real images are shown.
    """

    path: Path
    run: Path
    config: Config | None
    snapshot: Path | None
    generator: Generator | None
    about: About | None
    seed: int


def run_html(
    path: Path,
    *,
    data: str | None = None,
    label: str | None = None,
    seed: int = 0,
    progress: Stage | None = None,
) -> str:
    """The page of a run folder or a snapshot.

    Args:
        path: the folder; of a run its newest snapshot is shown.
        data: the images it was trained on; None takes what the run says, or $HQGAN_DATA.
        label: the column used as class.
        seed: of latents, and of which real images are shown.
        progress: called as progress(stage, done, total).

    Raises:
        RunError: a damaged snapshot, or damaged results.
        UsageError: a damaged configuration.
        DataError: `data` is named, and cannot be read or has other classes.
    """
    parts = collected(path, seed)
    sections = [
        lambda: samples(parts, data, label),
        lambda: latent_walks(parts),
        lambda: (
            section("Training", *training_curves(parts.run, again(parts))) if parts.config else ""
        ),
        lambda: section("Measurements", *measured(parts)),
        lambda: drawn_circuit(parts),
        lambda: probed(parts),
        lambda: section("Memorisation", *copies(parts)),
        lambda: made(parts),
    ]
    body = []
    for done, write in enumerate(sections, 1):
        body.append(write())
        if progress is not None:
            progress("report", done, len(sections))
    return html_page(title(parts), "\n".join([credit(parts), *body]), lead(parts))


def collected(path: Path, seed: int) -> Material:
    """Everything but the data."""
    run = path if (path / CONFIG).is_file() or not (path.parent / CONFIG).is_file() else path.parent
    config = read_config(run / CONFIG) if (run / CONFIG).is_file() else None
    if config is not None and path == run and not snapshots(run):
        return Material(path, run, config, None, None, None, seed)
    snapshot = find_snapshot(path)
    generator, about = load_snapshot(snapshot)
    spare_compilation(generator, FEW_IMAGES)
    return Material(path, run, config, snapshot, generator, about, seed)


def title(parts: Material) -> str:
    """What it is."""
    if is_packaged(parts.run):
        return f"{parts.run.name}: a generator of synthetic skin-lesion images"
    name = parts.about.preset if parts.about else parts.config.preset if parts.config else "hqgan"
    return f"{name}: {parts.path.resolve().name}"


def lead(parts: Material) -> str:
    """What, which data, how many images, and what it is for: a sentence."""
    about, config = parts.about, parts.config
    where = Path(config.data.path).name if config else None
    if config and config.data.path == EMBEDDED:
        where = "the embedded synthetic lesions"
    if about is None or parts.generator is None:
        preset = title(parts).partition(":")[0]
        return f"A run of {preset} on {where} without a snapshot yet. {PURPOSE}"
    where = where or (about.origin.data if about.origin else "data that it does not name")
    size = parts.generator.size
    return (
        f"A {about.generator} generator (preset {about.preset}) of {size} x {size} pixel images of "
        f"{len(about.classes)} classes, trained on {where}: {about.images_seen:,} images seen, "
        f"{sum(about.class_counts):,} different ones. {PURPOSE}"
    )


def credit(parts: Material) -> str:
    """Whose data live on in it, under which licence."""
    if parts.about is None or parts.about.origin is None:
        return ""
    origin = parts.about.origin
    return paragraph(origin.terms("these weights and what they make").replace("*", ""))


def samples(parts: Material, data: str | None, label: str | None) -> str:
    """Real images beside generated ones."""
    if parts.generator is None or parts.about is None:
        return section("Samples", missing("There is no snapshot to sample from yet.", again(parts)))
    reference, why = real_images(parts, data, label)
    return section("Samples", *sheet(parts.generator, parts.about, reference, why, parts.seed))


def real_images(parts: Material, data: str | None, label: str | None) -> tuple[Dataset | None, str]:
    """The val split, or train without one; or None and why."""
    assert parts.generator is not None
    assert parts.about is not None
    try:
        found, column = (data, None) if data else data_of(parts.path)
        column = label or column
        reference = load_dataset(found, "val", parts.generator.size, label=column)
        if not data:
            require_own(found, column, parts.generator.size, parts.about)
        if reference.classes != parts.about.classes:
            raise DataError(
                f"{found} has the classes {', '.join(reference.classes)}, but {parts.path} was "
                f"trained on {', '.join(parts.about.classes)}; name its data with --data"
            )
    except (DataError, UsageError, RunError) as error:
        if data:
            raise
        return None, str(error)
    return reference, ""


def require_own(data: str, label: str | None, size: int, about: About) -> None:
    """DataError unless these are the training images.

    A run folder from elsewhere may name any folder of this machine, and a page is there to be
    shared: images that nobody named are shown only where the generator has learned from them.
    """
    checksum = load_dataset(data, "train", size, label=label).checksum
    if checksum != about.data_checksum:
        raise DataError(
            f"the images at {data} are not those it was trained on (sha256 of train {checksum}, "
            f"expected {about.data_checksum}); to show them, name them with --data"
        )


def latent_walks(parts: Material) -> str:
    """Ways through the latent space."""
    if parts.generator is None or parts.about is None:
        return ""
    return section("Latent walks", *walks(parts.generator, parts.about, parts.seed))


def measured(parts: Material) -> list[str]:
    """Numbers with floors."""
    name = parts.snapshot.name if parts.snapshot and not is_packaged(parts.run) else None
    return measurements(parts.run, name, evaluate(parts))


def evaluate(parts: Material) -> str:
    """The command that measures."""
    if is_packaged(parts.run):  # where nothing is written
        return f"cp -r {shlex.quote(str(parts.run))} mine && hqgan evaluate mine --data DATA"
    return shell("hqgan", "evaluate", parts.path)


def drawn_circuit(parts: Material) -> str:
    """With the learned angles."""
    if parts.generator is None or parts.about is None:
        return ""
    return section("The circuit", *circuit(parts.generator, parts.about, parts.seed))


def probed(parts: Material) -> str:
    """What `hqgan probe` found, where it was asked."""
    folder = parts.run / "probe"
    heading = "Does the quantum part matter?"
    if not (folder / PROBE).is_file():
        if parts.generator is None or not has_quantum_part(parts.generator):
            return ""
        command = shell("hqgan", "probe", parts.path)
        command += " --data DATA --out probe" if is_packaged(parts.run) else ""
        return section(heading, missing("It was not asked yet.", command))
    found = read_probe(folder)
    with readable(folder / PROBE):
        drawn = charts(panel_charts(found))
        return section(heading, listed(verdicts(found)), paragraph(how(found)), drawn)


def copies(parts: Material) -> list[str]:
    """Whether training images are given away."""
    return memorisation(parts.run, f"{evaluate(parts)} --privacy")


def again(parts: Material, suffix: str = "") -> str:
    """The command that continues the run or, with a suffix of its folder, makes it again."""
    if parts.config is None:
        return "hqgan train --data DATA --out runs/mine"
    return shell(
        "hqgan", "train", ("--config", parts.run / CONFIG), ("--out", f"{parts.run}{suffix}")
    )


def made(parts: Material) -> str:
    """Cost, versions, commands, checksum."""
    about, config, run = parts.about, parts.config, parts.run
    cost = []
    records = list(read_records(run / METRICS)) if (run / METRICS).is_file() else []
    if records:
        last = records[-1]
        for name, key, form in (
            ("training", "seconds", duration),
            ("training speed", "images_per_second", "{:,.1f} images/s".format),
        ):
            if is_plain(last.get(key)):
                cost.append((name, form(last[key])))
    elif config is not None:
        cost.append(("training", "not known: nothing was logged"))
    if parts.generator is not None and about is not None:
        counted = costs(parts.generator)
        cost += [
            ("images seen", f"{about.images_seen:,}"),
            ("generator", f"{counted.parameters:,} parameters"),
            ("one image", f"{counted.macs_per_image:,} multiply-accumulates"),
        ]
        if counted.circuits_per_image:
            cost.append(
                (
                    "circuits of one image",
                    f"{counted.circuits_per_image:,} of {counted.qubits} qubits, "
                    f"{counted.two_qubit_gates_per_image:,} two-qubit gates in all",
                )
            )
    commands = []
    if config is not None:
        commands = [
            ("From the resolved configuration, into another folder:", again(parts, "-again")),
            (
                "The same, by what differs from the preset:",
                train_command(config, run.with_name(f"{run.name}-again")),
            ),
        ]
    elif is_packaged(run):
        commands = [
            ("Images of it:", shell("hqgan", "sample", "--pretrained", run.name, "--per-class", 16))
        ]
    elif parts.snapshot is not None:
        commands = [("Images of it:", shell("hqgan", "sample", parts.snapshot, "--per-class", 16))]
    sums = [("training data, sha256", about.data_checksum)] if about else []
    sums += [("seed", str(about.seed))] if about else []
    return provenance(cost, commands, versions_of([run]), sums)


def has_quantum_part(generator: Generator) -> bool:
    """Whether `hqgan probe` takes it."""
    try:
        quantum_block(generator)
    except HqganError:
        return False
    return True
