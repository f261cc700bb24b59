"""Pages: three files that agree with each other, whatever is missing from them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hqgan.errors import RunError
from hqgan.evaluation.probes import Estimate, GeneratorProbe, Probe, probe_circuits
from hqgan.evaluation.probes.ranks import Spectrum
from hqgan.evaluation.probes.streams import VarianceShares
from hqgan.quantum import QuantumLayer, layered
from hqgan.report import probe_page, report
from html_pages import cells, check

LARGEST = 600_000  # bytes of a page with a small picture in it


def estimate(value: float) -> Estimate:
    return Estimate(value, (value - 0.01, value + 0.02), 40)


def spectrum(rank: float) -> Spectrum:
    return Spectrum(estimate(rank), (3.0, 2.0, 1.0, 0.0), 4, half=rank)


SHARES = VarianceShares(
    variance=0.1,
    first={"quantum": estimate(0.125), "classical": estimate(0.5), "rest": estimate(0.25)},
    total={"quantum": estimate(0.2), "classical": estimate(0.6), "rest": estimate(0.3)},
    interaction=estimate(0.125),
    n=40,
    seed=0,
)


@pytest.fixture(scope="module")
def whole() -> GeneratorProbe:
    """A run of which everything is known."""
    circuits = QuantumLayer(layered(2, 1, reupload=True))
    return GeneratorProbe(
        run="runs/<b>mine</b>",
        generator="hybridq",
        preset="hybridq",
        quantum_parameters=2,
        parameters=1000,
        images_seen=250_000,
        distance=estimate(0.123),
        moved={kind: estimate(1.5) for kind in ("shuffled", "zeros", "mean")},
        changes={kind: estimate(0.0456) for kind in ("shuffled", "zeros", "mean")},
        against_first=None,
        shares=SHARES,
        gate=[0.4, 0.5, 0.6],
        features={"circuits": spectrum(2.5), "quantum stream": spectrum(1.5)},
        jacobian=spectrum(2.25),
        circuits=probe_circuits(circuits, 0, samples=10, pairs=50, qubits=(2, 3)),
    )


@pytest.fixture(scope="module")
def bare(whole: GeneratorProbe) -> GeneratorProbe:
    """A twin of which much is not defined."""
    unknown = Estimate(None, None, 40, "too few images")
    return replace(
        whole,
        preset="twin-zeros",
        distance=unknown,
        changes=dict.fromkeys(whole.changes, Estimate(0.0, None, 40, "no interval")),
        against_first=unknown,
        shares=None,
        gate=None,
        jacobian=Spectrum(Estimate(0.0, None, 1), (0.0, 0.0), 2),
        circuits=None,
    )


def page_of(*generators: GeneratorProbe) -> Probe:
    examples = np.zeros((4, 8, 16, 16, 3), np.uint8)
    return Probe("kid768", "inception768", "val", 100, 40, 7, list(generators), examples)


def test_a_page_is_files_that_agree(whole: GeneratorProbe, tmp_path: Path) -> None:
    probe = page_of(whole)
    page = probe_page(probe, tmp_path / "new" / "probe")
    assert sorted(file.name for file in page.parent.iterdir()) == [
        *("examples.png", "probe.html", "probe.json", "probe.png")
    ]
    written = json.loads((page.parent / "probe.json").read_text())
    assert written == json.loads(json.dumps(probe.as_json()))
    html = page.read_text()
    check(html)
    assert html.count("<svg") == 7  # a panel each, but that of the images
    with Image.open(page.parent / "probe.png") as picture:
        assert picture.width > 1000
    assert len(html) < LARGEST


def test_the_table_holds_values_with_intervals_and_what_they_say(
    whole: GeneratorProbe, tmp_path: Path
) -> None:
    html = probe_page(page_of(whole), tmp_path).read_text()
    assert "0.0456 [0.0356, 0.0656]" in html
    assert "further from the real images" in html
    found = cells(html)
    at = found.index("Share of the variance of the pixels explained by the quantum stream alone")
    assert found[at + 1] == "0.125 [0.115, 0.145]"
    assert "seed 7" in html
    assert "&lt;b&gt;mine" in html
    assert "<b>" not in html


def test_what_is_not_defined_is_said(
    whole: GeneratorProbe, bare: GeneratorProbe, tmp_path: Path
) -> None:
    for generators in ((bare,), (whole, bare), (whole, whole)):
        html = probe_page(page_of(*generators), tmp_path).read_text()
        if bare in generators:
            assert "not defined (too few images)" in html
            assert "no interval, so no verdict" in html


def test_the_same_probe_gives_the_same_page(whole: GeneratorProbe, tmp_path: Path) -> None:
    one = probe_page(page_of(whole), tmp_path).read_bytes()
    assert one == probe_page(page_of(whole), tmp_path).read_bytes()
    assert one == report(tmp_path).file.read_bytes()


def test_a_folder_that_cannot_be_written_is_said(whole: GeneratorProbe, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="choose another --out"):
        probe_page(page_of(whole), tmp_path / "file" / "probe")
