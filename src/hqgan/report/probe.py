"""The page of `hqgan probe`: every number in a sentence, below the charts."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hqgan.data import save_grid
from hqgan.evaluation.probes import CircuitProbe, GeneratorProbe, Probe, verdict
from hqgan.report.page import Row, html_page, said, save_page, writing_to
from hqgan.report.pieces import charts, heading, listed, paragraph, photographs, section, table
from hqgan.report.probe_figure import panel_charts, probe_figure
from hqgan.report.provenance import provenance, shell, versions_of
from hqgan.report.stored import EXAMPLES, read_probe

TITLE = "Does the quantum part matter?"
HEADS = ("what was done", "value", "what it says")
STREAMS = {
    "quantum": "the quantum stream",
    "classical": "the classical stream",
    "rest": "all else that depends on the latent",
}
DONE = {
    "shuffled": "Every image got the circuits' values of another image",
    "zeros": "The circuits' values were set to zero",
    "mean": "The circuits' values were set to their mean over all images",
}


def probe_page(probe: Probe, folder: Path) -> Path:
    """Write folder/probe.json, probe.png, examples.png and probe.html; returns the last.

    Raises:
        RunError: where the folder cannot be written.
    """
    with writing_to(folder):
        rows = probe.examples
        save_grid(rows.reshape(-1, *rows.shape[2:]), folder / EXAMPLES, columns=rows.shape[1])
    return save_page(folder, "probe", probe, probe_figure(probe), probe_html)


def probe_html(folder: Path) -> str:
    """The page of what `probe_page` left in a folder.

    Raises:
        RunError: it is not there, or damaged.
    """
    probe = read_probe(folder)
    first = probe.generators[0]
    again = shell(
        *("hqgan", "probe", first.run),
        *(("--against", one.run) for one in probe.generators[1:]),
        *(("--n", probe.n_fake), ("--seed", probe.seed), ("--out", folder)),
    )
    runs = [Path(one.run) for one in probe.generators]
    body = "\n".join(
        [
            section("Verdict", listed(verdicts(probe))),
            section("Charts", charts(panel_charts(probe)), *example_rows(probe)),
            section("Numbers", *number_tables(probe)),
            provenance(
                [("images generated", f"{images_made(probe):,}, as they are and with the circuits' "
                  "values replaced"), ("training images seen", f"{first.images_seen:,}")],
                [("The probe, as it was made:", again)],
                versions_of([*runs, *(run.parent for run in runs)]),
                [("measured by", probe.extractor)],
            ),
        ]
    )  # fmt: skip
    return html_page(TITLE, body, how(probe))


def how(probe: Probe) -> str:
    """What was compared with what."""
    first = probe.generators[0]
    return (
        f"{probe.n_fake} generated images ({first.images_seen:,} training images seen) against "
        f"{probe.n_real} real ones of the {probe.split} split, {probe.recipe}, {probe.extractor}, "
        f"seed {probe.seed}. Intervals are 95 %, by bootstrap; KID's resample real images by "
        "lesion and use the same latents on both sides of a change. Each interval stands for "
        "itself; none is corrected for their number."
    )


def images_made(probe: Probe) -> int:
    """Generated images that the distances were taken of."""
    return sum(probe.n_fake * (1 + len(one.changes)) for one in probe.generators)


def verdicts(probe: Probe) -> list[str]:
    """What each intervention did, a sentence each."""
    return [
        f"{one.run} ({one.preset}). {DONE.get(kind, kind)}: a pixel moves by {one.moved[kind]} of "
        f"255 levels, {probe.recipe} changes by {change}: {verdict(change)}."
        for one in probe.generators
        for kind, change in one.changes.items()
    ]


def example_rows(probe: Probe) -> Iterator[str]:
    """The images of the same latents, a row for each intervention."""
    if not probe.examples.size:
        yield paragraph("The example images are not there any more.", "missing")
        return
    yield heading("The same latents")
    labels = ["as they are", *probe.generators[0].changes]
    for label, images in zip(labels, probe.examples, strict=True):
        yield paragraph(f"{label}:")
        yield photographs(images, f"{len(images)} generated images, circuits' values {label}")


def number_tables(probe: Probe) -> Iterator[str]:
    """A table a generator."""
    for one in probe.generators:
        yield table(f"{one.run} ({one.preset})", HEADS, said(probe_rows(probe, one)))


def probe_rows(probe: Probe, one: GeneratorProbe) -> list[Row]:
    """The numbers of one generator, a sentence each."""
    rows: list[Row] = [
        (
            f"{one.run} ({one.preset}): {probe.recipe} of its images",
            str(one.distance),
            f"{one.quantum_parameters:,} of {one.parameters:,} parameters are in the quantum block",
        )
    ]
    for kind, change in one.changes.items():
        rows += [
            (f"{DONE[kind]}; change of {probe.recipe}", str(change), verdict(change)),
            ("The same; mean change of a pixel", f"{one.moved[kind]} of 255 levels", ""),
        ]
    if one.against_first is not None:
        rows.append((f"Its {probe.recipe} less that of the first run", str(one.against_first), ""))
    if one.shares is not None:
        rows += [
            (
                f"Share of the variance of the pixels explained by {STREAMS[stream]} alone",
                str(share),
                f"{one.shares.total[stream]} with its interactions",
            )
            for stream, share in one.shares.first.items()
        ]
        rows.append(("Share that no stream explains alone", str(one.shares.interaction), ""))
    if one.gate is not None:
        rows.append(
            (
                "What the learned gate lets through of the quantum channels",
                f"{np.mean(one.gate):.3g} (from {min(one.gate):.3g} to {max(one.gate):.3g})",
                "0.5 at the start of training",
            )
        )
    rows += [
        (
            f"Effective rank of {name} over {spectrum.rank.n} images",
            str(spectrum.rank),
            f"of {spectrum.features} features; {spectrum.half or 0:.4g} from half of the images",
        )
        for name, spectrum in one.features.items()
    ]
    rows.append(
        (
            f"Effective rank of d image / d latent, mean of {one.jacobian.rank.n} latents",
            str(one.jacobian.rank),
            f"of {one.jacobian.features} directions of the latent",
        )
    )
    return rows + (circuit_rows(one.circuits) if one.circuits else [])


def circuit_rows(circuits: CircuitProbe) -> list[Row]:
    """What its circuits can do."""
    rows: list[Row] = []
    for found in circuits.expressibility:
        other = found.real_divergence
        real = "" if other is None else f"; {other:.3g} from random real states"
        rows.append(
            (
                f"Expressibility, {found.angles} weights, {circuits.qubits} qubits, "
                f"{found.pairs:,} pairs: KL divergence from Haar-random states",
                f"{found.divergence:.4g} nats",
                f"{found.floor:.3g} for truly random states{real}",
            )
        )
    rows += [
        (
            f"Entangling capability (Meyer-Wallach), {found.angles} weights",
            str(found.capability),
            f"{found.haar:.3g} for random states, 0 for product states",
        )
        for found in circuits.entangling
    ]
    for init, layers in dict.fromkeys((point.init, point.layers) for point in circuits.gradients):
        points = [p for p in circuits.gradients if (p.init, p.layers) == (init, layers)]
        rows.append(
            (
                f"Variance of the first weight's gradient, {init} initialisation, layers: {layers}",
                "; ".join(f"{p.qubits} qubits {p.variance}" for p in points),
                f"over {circuits.samples} random circuits each",
            )
        )
    return rows
