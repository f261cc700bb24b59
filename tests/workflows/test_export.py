"""`hqgan export`: the same images without torch, the circuits elsewhere, and nothing half done."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from hqgan.errors import MissingExtra, RunError, UsageError
from hqgan.models import (
    About,
    Generator,
    Origin,
    build_generator,
    latents,
    load_snapshot,
    save_snapshot,
)
from hqgan.models.hybridq import SITES, HybridQGenerator
from hqgan.models.registry import GENERATORS
from hqgan.quantum import QuantumLayer, layered
from hqgan.workflows import sample
from hqgan.workflows.exporting import Exported, export
from hqgan.workflows.exporting import export as package
from hqgan.workflows.exporting.checking import TOLERANCE
from hqgan.workflows.exporting.onnx_files import OPSETS, OnnxFile
from hqgan.workflows.exporting.split import Angles, Images, cut_at_circuits

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

CLASSES = ("a b", "mel", "nv")
ORIGIN = Origin("small", "HAM10000", "CC BY-NC 4.0", "Tschandl et al. 2018")
GREY = 1  # level: another order of sums may cross the middle between two
SUMS = 1e-5  # of values in [-1, 1], in float32 and in double precision
NARROW: dict[str, dict[str, Any]] = {
    "fastgan": {"width_cap": 16},
    "stylegan2": {"channel_cap": 16},
    "mediq-v2": {"depth": 1},
    "pqwgan": {"layers": 2},
}
EVERY = [
    *(name for name in GENERATORS if name != "ddpm"),
    *(f"hybridq:{twin}" for twin in ("classical", "fourier", "zeros")),  # the others are circuits
]


def snapshot(name: str, folder: Path, origin: Origin | None = None, **options: Any) -> Path:
    """An untrained generator as `hqgan train` would leave it: "hybridq:zeros" is a twin."""
    base, _, twin = name.partition(":")
    torch.manual_seed(0)
    more = NARROW.get(base, {}) | ({"twin": twin} if twin else {}) | options
    generator = build_generator(base, len(CLASSES), 32, **more)
    for module in generator.modules():  # as if something had been learned
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    about = About(base, CLASSES, (3, 2, 1), 1000, 0, base, "0" * 64, origin)
    save_snapshot(generator, folder, about)
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "snapshot"
    return snapshot("hybridq", folder, ORIGIN, qubits=3, circuit_layers=1)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator that is exported in two seconds."""
    return snapshot("latentqgan", tmp_path_factory.mktemp("export") / "snapshot")


@pytest.fixture(scope="module")
def made(small: Path) -> Exported:
    return export(small, small.with_name("out"))


@pytest.mark.parametrize("name", EVERY)
def test_every_model_makes_the_same_images_without_torch(name: str, tmp_path: Path) -> None:
    """Compared here again, with batches of 1, 3 and 16, from values of the layer's own backend."""
    made = export(snapshot(name, tmp_path / "snapshot"), tmp_path / "out")
    generator, _ = load_snapshot(tmp_path / "snapshot")
    cut = cut_at_circuits(generator)
    assert (cut is None) == (made.circuits == 0)
    assert made.check.grey_levels <= GREY
    files = {file: OnnxFile(tmp_path / "out" / file) for file in made.files if "onnx" in file}
    for count in (1, 3, 16):
        z, y = next(latents(generator, [i % 3 for i in range(count)], 7))
        with torch.no_grad():
            expected = generator(z, y).numpy()
        if cut is None:
            images = files["latents_to_images.onnx"](z.numpy(), y.numpy())
        else:
            angles = files["latents_to_angles.onnx"](z.numpy(), y.numpy())
            cut.layer.without_kernel()
            with torch.no_grad():  # the layer takes rows of images, circuit by circuit
                rows = torch.from_numpy(angles).flatten(0, 1)
                rows = rows[:, 0] if cut.layer.circuits == 1 else rows
                values = cut.layer(rows).reshape(*angles.shape[:3], -1).numpy()
            images = files["values_to_images.onnx"](z.numpy(), y.numpy(), values)
        assert images.shape == (count, 3, 32, 32)
        assert np.abs(images - expected).max() < TOLERANCE
        assert np.abs(images).max() <= 1 + TOLERANCE  # as tanh is rounded there


def test_files_are_whole_and_say_what_they_are(made: Exported) -> None:
    out = Path(made.out)
    assert set(made.files) == {
        *("README.md", "manifest.json", "latents.py", "circuits.py"),
        *("latents_to_angles.onnx", "values_to_images.onnx"),
        *(f"circuits/{i}.{kind}" for i in range(4) for kind in ("json", "qasm")),
    }
    assert not [f for f in out.parent.iterdir() if f.name.startswith(".")]  # nothing half done
    for name in ("latents_to_angles.onnx", "values_to_images.onnx"):
        model = onnx.load(out / name, load_external_data=False)
        onnx.checker.check_model(model, full_check=True)
        said = {entry.key: entry.value for entry in model.metadata_props}
        assert json.loads(said["classes"]) == list(CLASSES)
        assert said["licence"] == "CC BY-NC 4.0"
        assert "Tschandl" in said["credit"]
        assert "not for diagnosis" in said["notice"]
        assert json.loads(said["latents"])["distribution"] == "normal"
        assert not [t for t in model.graph.initializer if t.external_data]
        for value in (*model.graph.input, *model.graph.output):
            assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["check"]["images_from_values"] == made.check.images_from_values
    card = (out / "README.md").read_text()
    assert "Tschandl" in card
    assert "not for diagnosis" in card
    assert max(map(len, card.splitlines())) <= 240


def test_nothing_tells_of_the_machine_it_was_made_on(made: Exported) -> None:
    """Torch notes stack traces, with paths, at every node."""
    for name in made.files:
        content = (Path(made.out) / name).read_bytes()
        for path in (b"/site-packages/", b"workflows/exporting", bytes(Path.home())):
            assert path not in content, name


def blocks(card: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize(
    ("name", "options"),
    [("hybridq", {"qubits": 2, "z_dim": 40}), ("mosaiq", {}), ("hybridq:zeros", {"z_dim": 9})],
)
def test_readme_runs_where_there_is_no_torch_and_makes_what_sample_makes(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    run = snapshot(name, tmp_path / "snapshot", **options)
    out = tmp_path / "out"
    export(run, out)
    code = (
        "import sys\nsys.modules['torch'] = sys.modules['hqgan'] = None\n"
        + blocks(out / "README.md")[0]
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=out, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    sample(run, tmp_path / "sampled", per_class=4)
    for y, kind in enumerate(CLASSES):
        (folder,) = [f for f in (tmp_path / "sampled").iterdir() if f.name == kind]
        for i, file in enumerate(sorted(folder.iterdir())):
            there = pixels(out / f"{kind}-{4 * y + i:03d}.png")
            assert np.abs(there - pixels(file)).max() <= GREY


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image).astype(int)


def test_the_readmes_qiskit_measures_what_numpy_does(made: Exported, tmp_path: Path) -> None:
    pytest.importorskip("qiskit_qasm3_import")
    numpy_way, qiskit_way = blocks(Path(made.out) / "README.md")
    code = (
        numpy_way.replace("arange(len(manifest['classes'])), 4", "arange(2), 1")
        .replace('arange(len(manifest["classes"])), 4', "arange(2), 1")
        .replace(".save(name)", "")
        + "expected = values\n"
        + qiskit_way
        + "print(np.abs(values - expected).max(), values.std())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=made.out, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    difference, spread = map(float, done.stdout.split())
    assert difference < SUMS
    assert spread > 100 * SUMS


def test_a_run_is_the_site_that_the_manifest_says(made: Exported, small: Path) -> None:
    """Another value of run r of circuit c reaches the decoder at sites[r][c] and nowhere else."""
    said = json.loads((Path(made.out) / "manifest.json").read_text())["circuits"]["sites"]["sites"]
    generator, _ = load_snapshot(small)
    assert isinstance(generator, HybridQGenerator)
    cut = cut_at_circuits(generator)
    assert cut is not None
    images = Images(generator, cut)
    z, y = next(latents(generator, [0, 1], 0))
    seen: list[Tensor] = []
    hook = generator.quantum.to_channels.register_forward_hook(
        lambda module, inputs, output: seen.append(inputs[0])
    )
    shape = 2, cut.rows, cut.layer.circuits, cut.layer.circuit.outputs
    with torch.no_grad():
        images(z, y, torch.zeros(shape))
        for r in range(cut.rows):
            for c in range(cut.layer.circuits):
                values = torch.zeros(shape)
                values[1, r, c] = 1
                images(z, y, values)
                moved = (seen[-1] - seen[0]).abs().sum(1).nonzero().tolist()
                assert moved == [[1, *said[r][c]]]
    hook.remove()
    assert sorted(site for row in said for site in row) == [
        [i, j] for i in range(SITES) for j in range(SITES)
    ]


@pytest.mark.parametrize("opset", [OPSETS[0], OPSETS[-1]])
def test_other_versions_of_the_operators(opset: int, quick: Path, tmp_path: Path) -> None:
    made = export(quick, tmp_path / "out", opset=opset)
    for name in ("latents_to_angles.onnx", "values_to_images.onnx"):
        (version,) = [
            o.version for o in onnx.load(tmp_path / "out" / name).opset_import if not o.domain
        ]
        assert version == made.opset == opset


def test_an_export_that_makes_other_images_is_not_kept(
    quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Circuits with one wrong angle; then a decoder that mixes circuits up."""
    steps = sys.modules[f"{package.__module__}"]
    whole = steps.write_circuits

    def wrong(generator: Generator, cut: Any, folder: Path) -> Any:
        said = whole(generator, cut, folder)
        file = folder / "circuits" / "2.json"
        circuit = json.loads(file.read_text())
        circuit["weights"][0] += 0.3
        file.write_text(json.dumps(circuit))
        return said

    out = tmp_path / "new" / "out"
    with monkeypatch.context() as patch:
        patch.setattr(steps, "write_circuits", wrong)
        with pytest.raises(RunError, match=r"differs from torch by .*nothing was kept"):
            export(quick, out)
    assert list(out.parent.iterdir()) == []

    class Mixed(Images):
        def forward(self, latents: Tensor, classes: Tensor, values: Tensor) -> Tensor:
            return super().forward(latents, classes, values.flip(2))

    with monkeypatch.context() as patch:
        patch.setattr(steps, "Images", Mixed)
        with pytest.raises(RunError, match="ONNX Runtime differs from torch"):
            export(quick, out)
    assert list(out.parent.iterdir()) == []


def test_nothing_is_overwritten(quick: Path, tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    for out in (tmp_path, tmp_path / "kept.txt"):
        with pytest.raises(RunError, match="nothing is overwritten"):
            export(quick, out)
    assert (tmp_path / "kept.txt").read_text() == "mine"
    with pytest.raises(RunError, match="cannot write to"):
        export(quick, tmp_path / "kept.txt" / "below")


def test_an_empty_working_folder_is_filled_and_a_link_to_a_folder_stays_one(
    quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    before = os.stat(".").st_ino
    made = export(quick.absolute(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert os.stat(tmp_path / "work").st_ino == before
    assert "README.md" in made.files
    assert sorted(map(str, Path().rglob("*.onnx"))) == [n for n in made.files if "onnx" in n]
    assert len(list(tmp_path.iterdir())) == 2


class TwoLayers(HybridQGenerator):
    def __init__(self, **arguments: Any):
        super().__init__(**arguments)
        self.second = QuantumLayer(layered(2, 1))


class CalledTwice(HybridQGenerator):
    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return (super().forward(z, y) + super().forward(-z, y)) / 2


@pytest.mark.parametrize(
    ("kind", "words"), [(TwoLayers, "has 2 layers of circuits"), (CalledTwice, "2 times an image")]
)
def test_a_model_that_cannot_be_cut_is_refused(kind: type[HybridQGenerator], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        cut_at_circuits(kind(classes=3, size=32, qubits=2).eval())


def test_a_diffusion_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    run = snapshot("ddpm", tmp_path / "snapshot", width=8, sampling_steps=10)
    with pytest.raises(UsageError, match="10 passes"):
        export(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_latents_that_cannot_be_told_are_refused(tmp_path: Path) -> None:
    from hqgan.workflows.exporting.latent_rule import latent_rule

    class Cubed(HybridQGenerator):
        def sample_z(self, n: int, rng: torch.Generator) -> Tensor:
            return super().sample_z(n, rng) ** 3

    with pytest.raises(UsageError, match="in a way of its own"):
        latent_rule(Cubed(classes=3, size=32, qubits=2))


def test_an_unknown_opset_is_refused(quick: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="opset is 7, but must lie from"):
        export(quick, tmp_path / "out", opset=7)


def test_a_missing_package_names_its_extra(
    quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"hqgan\[export\]"):
        export(quick, tmp_path / "out")


def test_a_generator_without_an_origin_asks_to_look_the_licence_up(tmp_path: Path) -> None:
    run = snapshot("hybridq:zeros", tmp_path / "snapshot", z_dim=16)
    export(run, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "look it up" in card
    assert "circuits.py" not in card
    assert "not known" in json.loads((tmp_path / "out" / "manifest.json").read_text())["licence"]


def test_angles_are_those_that_hardware_would_be_asked_for(small: Path) -> None:
    """The other way to catch them, for jobs on devices, sorted likewise."""
    from hqgan.workflows.hardware.capture import circuit_call

    generator, _ = load_snapshot(small)
    cut = cut_at_circuits(generator)
    assert cut is not None
    z, y = next(latents(generator, [0, 1, 2], 0))
    ours = Angles(generator, cut)(z, y).permute(2, 0, 1, 3).flatten(1, 2)
    assert torch.equal(ours.double(), circuit_call(generator, z, y).inputs)
