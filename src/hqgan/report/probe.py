"""The page of `hqgan probe`: every number in a sentence, below the figure."""

from pathlib import Path

import numpy as np

from hqgan.evaluation.probes import CircuitProbe, GeneratorProbe, Probe, verdict
from hqgan.report.page import Row, write_page
from hqgan.report.probe_figure import probe_figure

STREAMS = {
    "quantum": "the quantum stream",
    "classical": "the classical stream",
    "rest": "all else that depends on the latent",
}


def probe_page(probe: Probe, folder: Path) -> Path:
    """Write folder/probe.json, probe.png and probe.html; returns the last.

    Raises:
        RunError: where the folder cannot be written.
    """
    first = probe.generators[0]
    text = (
        f"{probe.n_fake} generated images ({first.images_seen:,} training images seen) against "
        f"{probe.n_real} real ones of the {probe.split} split, {probe.recipe}, {probe.extractor}, "
        f"seed {probe.seed}. Intervals are 95 %, by bootstrap; KID's resample real images by "
        "lesion and use the same latents on both sides of a change. Each interval stands for "
        "itself; none is corrected for their number."
    )
    rows = [row for one in probe.generators for row in probe_rows(probe, one)]
    return write_page(
        folder, "probe", "Does the quantum part matter?", text, rows, probe_figure(probe), probe
    )


def probe_rows(probe: Probe, one: GeneratorProbe) -> list[Row]:
    """The numbers of one generator, a sentence each."""
    rows: list[Row] = [
        (
            f"{one.run} ({one.preset}): {probe.recipe} of its images",
            str(one.distance),
            f"{one.quantum_parameters:,} of {one.parameters:,} parameters are in the quantum block",
        )
    ]
    done = {
        "shuffled": "Every image got the circuits' values of another image",
        "zeros": "The circuits' values were set to zero",
        "mean": "The circuits' values were set to their mean over all images",
    }
    for kind, change in one.changes.items():
        rows += [
            (f"{done[kind]}; change of {probe.recipe}", str(change), verdict(change)),
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
