"""Probing runs: what is compared with what, and which runs are refused."""

import json
from pathlib import Path

import pytest
from torch import Tensor

from hqgan.errors import DataError, UsageError
from hqgan.evaluation import Extractor, load_extractor
from hqgan.evaluation.probes import Probe
from hqgan.evaluation.run import evaluate_run
from hqgan.models import About, Generator, load_snapshot, save_snapshot
from hqgan.models.registry import GENERATORS
from hqgan.training import train
from hqgan.workflows import probe
from small_runs import tiny_config, write_folders

N = 70  # fd_tiny needs more images than its 64 features


class Plain(Generator):
    """A generator without circuits."""

    def __init__(self, classes: int, size: int) -> None:
        super().__init__()
        self.classes, self.size, self.z_dim = classes, size, 4

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return z.new_zeros(len(z), 3, self.size, self.size)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hybrid and its twin without a quantum part, trained for one step."""
    folder = tmp_path_factory.mktemp("probe")
    small = ("generator.z_dim=8",)
    train(tiny_config(0.008, *small), folder / "hybrid")
    train(tiny_config(0.008, *small, "generator.twin=zeros"), folder / "zeros")
    return folder


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor(name="tiny")


@pytest.fixture(scope="module")
def found(runs: Path, extractor: Extractor) -> Probe:
    return probe(runs / "hybrid", "embedded", extractor, against=[runs / "zeros"], n=N)


def test_the_fakes_are_those_that_evaluate_measures(
    found: Probe, runs: Path, extractor: Extractor
) -> None:
    (measured,) = evaluate_run(runs / "hybrid", "embedded", extractor, n=N)
    record = measured.records[0]
    assert found.generators[0].distance.value == pytest.approx(record["value"])
    assert (found.recipe, found.split) == (record["recipe"], record["split"])
    assert (found.n_real, found.n_fake) == (record["n_real"], record["n_fake"])


def test_what_is_done_to_nothing_changes_nothing(found: Probe) -> None:
    hybrid, zeros = found.generators
    for found_of in (zeros.changes, zeros.moved):
        assert {change.value for change in found_of.values()} == {0.0}
    assert all(levels.value > 0.0 for levels in hybrid.moved.values())
    assert zeros.shares is not None
    assert zeros.shares.first["quantum"].value == pytest.approx(0, abs=1e-6)
    assert zeros.features["circuits"].rank.value == 0.0
    assert zeros.circuits is None
    assert hybrid.circuits is not None


def test_the_second_run_is_held_against_the_first(found: Probe) -> None:
    hybrid, zeros = found.generators
    assert hybrid.against_first is None
    difference = zeros.distance.value - hybrid.distance.value
    assert zeros.against_first.value == pytest.approx(difference)


def test_the_probe_is_plain_json_and_a_few_lines(found: Probe) -> None:
    content = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert "examples" not in content
    assert content["generators"][0]["changes"]["zeros"]["n"] == N
    assert found.examples.shape == (4, 8, 32, 32, 3)
    lines = list(found.lines())
    assert any("circuits' values shuffled" in line for line in lines)
    assert len(lines) < 30


def test_the_same_seed_finds_the_same(found: Probe, runs: Path, extractor: Extractor) -> None:
    again = probe(runs / "zeros", "embedded", extractor, n=N)
    one, other = again.generators[0], found.generators[1]
    assert (one.shares, one.jacobian, one.distance) == (
        other.shares,
        other.jacobian,
        other.distance,
    )


def test_a_model_without_circuits_is_refused(
    runs: Path, extractor: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GENERATORS, "plain", Plain)
    _, about = load_snapshot(runs / "hybrid")
    plain = About(**{**vars(about), "generator": "plain"})
    save_snapshot(Plain(classes=len(about.classes), size=32), tmp_path / "plain", plain)
    for order in ((tmp_path / "plain", []), (runs / "hybrid", [tmp_path / "plain"])):
        with pytest.raises(UsageError, match="plain: Plain has no quantum part to probe"):
            probe(order[0], "embedded", extractor, against=order[1], n=N)


def test_runs_of_other_classes_or_sizes_are_refused(
    runs: Path, extractor: Extractor, tmp_path: Path
) -> None:
    data = write_folders(tmp_path / "data")
    with pytest.raises(DataError, match=r"has the classes bkl, mel, nv, but .* was trained"):
        probe(runs / "hybrid", str(data), extractor, n=N)
    hybrid, about = load_snapshot(runs / "hybrid")
    larger = GENERATORS["hybridq"](classes=hybrid.classes, size=64, qubits=2)
    save_snapshot(larger, tmp_path / "larger", about)
    with pytest.raises(UsageError, match="makes images of 64 pixels"):
        probe(runs / "hybrid", "embedded", extractor, against=[tmp_path / "larger"], n=N)


@pytest.mark.parametrize("n", [4, 10**6])
def test_an_impossible_number_is_refused(runs: Path, extractor: Extractor, n: int) -> None:
    with pytest.raises(UsageError, match=f"n is {n}, but a probe looks at 5 to 50,000"):
        probe(runs / "hybrid", "embedded", extractor, n=n)
