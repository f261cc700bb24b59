"""What is asked of a backend, and its two files, from which everything can go on after a crash.

order.json    settings, snapshot and circuit; each job's layout, bill and transpiled circuits
order.npz     latents and classes, the circuits' inputs and weights, the angles of each job
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hqgan.errors import RunError, UsageError
from hqgan.models import About, Generator, find_snapshot, latents, load_snapshot
from hqgan.pretrained import is_packaged
from hqgan.quantum.backends import Backend, Device, Order, open_backend
from hqgan.training.runs import LOCK, write_atomically
from hqgan.workflows.hardware.arrays import save_arrays
from hqgan.workflows.hardware.asked import MODELS, Settings, settings_of
from hqgan.workflows.hardware.capture import Call, circuit_call, require_simulable
from hqgan.workflows.hardware.order_files import (
    ARRAYS,
    ORDER,
    UNREADABLE,
    damaged,
    located,
    read_order,
    require_latents,
)
from hqgan.workflows.sample import class_mix, spare_compilation

FOLDER = "hardware"  # in a run
SHOTS = 4096  # of a circuit in a basis, where a device is not told otherwise
LEAST_BUSY = "ibm:least_busy"
CODE = "python:"  # before the name of a function that is imported and called
SAME_ANGLES = 1e-3  # radians; float32 sums are rounded otherwise on another machine


@dataclass(frozen=True)
class Part:
    """One job: its name, the images it serves (first, and one past the last), and its order."""

    name: str
    images: tuple[int, int]
    order: Order


@dataclass(frozen=True)
class Plan:
    """Everything that is known before anything is sent.

    Attributes:
        settings, folder: what is asked for, and where its files lie.
        snapshot: of the generator.
        z, y: latents (n, z_dim) and classes (n,).
        call: what the generator asks of its circuits for them.
        backend: opened; what answers at once, or a device. None where all answers are on disk.
        parts: the jobs of a device; none for what answers at once.
        saved: whether its files are on disk.
    """

    settings: Settings
    folder: Path
    snapshot: Path
    generator: Generator
    about: About
    z: Tensor
    y: Tensor
    call: Call
    backend: Backend | Device | None
    parts: tuple[Part, ...]
    saved: bool

    @property
    def qpu_seconds(self) -> float:
        """What all jobs are expected to take of the device."""
        return sum(part.order.bill.qpu_seconds for part in self.parts)

    @property
    def pays(self) -> bool:
        """Whether jobs may cost money or an allowance, so that somebody has to agree."""
        return bool(self.parts) and not self.settings.backend.startswith("fake:")

    @property
    def lasting(self) -> bool:
        """Whether jobs outlive the process that sends them."""
        return not isinstance(self.backend, Device) or self.backend.lasting

    def lines(self) -> Iterator[str]:
        """The bill, for people."""
        circuit = self.call.layer.circuit
        runs = self.call.inputs.shape[1] * self.call.layer.circuits
        yield (
            f"{self.settings.n} images of {self.snapshot.name}: {runs:,} circuits of "
            f"{circuit.qubits} qubits, {circuit.outputs} values each"
        )
        if not self.parts:
            yield f"backend: {self.settings.backend}, simulated here; nothing is sent"
            return
        for part in self.parts:
            bill = part.order.bill
            which = f"job {part.name}: " if len(self.parts) > 1 else ""
            yield f"backend: {which}{bill.backend}, calibrated {bill.calibrated or 'unknown'}"
            yield (
                f"  layout: circuits side by side: {len(bill.layout)}; on qubits "
                + ", ".join("-".join(map(str, line)) for line in bill.layout)
            )
            yield (
                f"  transpiled: depth {bill.depth}, {bill.two_qubit_gates} two-qubit gates; "
                f"mitigation: {part.order.mitigation}"
            )
            yield (
                f"  runs: {bill.circuits:,} parameter sets x {bill.bases} bases x "
                f"{bill.shots:,} shots"
            )
            yield f"  QPU time: about {bill.qpu_seconds:.3g} s ({bill.formula})"
        if len(self.parts) > 1:
            yield f"  all {len(self.parts)} jobs: about {self.qpu_seconds:.3g} s of QPU time"

    def as_json(self) -> dict[str, Any]:
        """The bill, as plain numbers, strings, lists and dictionaries."""
        bills = [part.order.bill for part in self.parts]
        return {
            "backend": self.parts[0].order.backend if self.parts else self.settings.backend,
            "out": str(self.folder),
            "snapshot": self.snapshot.name,
            "settings": asdict(self.settings),
            "bills": [bill.to_dict() for bill in bills],
            "shots": bills[0].shots if bills else self.settings.shots,
            "estimated_qpu_seconds": self.qpu_seconds if bills else None,
        }

    def save(self) -> None:
        """Write order.npz, then order.json, whole or not at all."""
        arrays = {
            "z": self.z.numpy(),
            "y": self.y.numpy(),
            "inputs": self.call.inputs.numpy(),
            "weights": self.call.weights.numpy(),
            **{f"angles-{part.name}": part.order.angles for part in self.parts},
        }
        content = {
            "settings": asdict(self.settings),
            "snapshot": str(self.snapshot.absolute()),
            "generator": self.about.generator,
            "preset": self.about.preset,
            "images_seen": self.about.images_seen,
            "circuit": self.call.layer.circuit.to_dict(),
            "device": self.parts[0].order.backend if self.parts else None,
            "jobs": [
                {"name": part.name, "images": part.images, "order": part.order.to_dict()}
                for part in self.parts
            ],
        }
        save_arrays(self.folder / ARRAYS, arrays)
        text = json.dumps(content, indent=2) + "\n"
        write_atomically(self.folder / ORDER, text.encode())


def plan(
    run: Path, settings: Settings, mix: Sequence[int] | None = None, out: Path | None = None
) -> Plan:
    """What a run's newest snapshot asks of a backend, from the folder's files where it has them.

    Nothing is sent and nothing is written.

    Args:
        run: a run folder or a snapshot of a model with circuits.
        settings: what is asked for.
        mix: images of each class, n in all; None is the class mix of the training data.
        out: folder of the results; None is RUN/hardware/NAME.

    Raises:
        UsageError: a model without circuits, a folder of other settings, a packaged generator
            without `out`, or what `open_backend` or the device refuses.
        RunError: no snapshot, or a damaged folder.
        DeviceError: the device's service does not answer, or not us.
    """
    snapshot = find_snapshot(run)
    out = out or folder_of(run) / settings.name
    if (out / ORDER).is_file():
        return _continued(out, snapshot, settings)
    # A process killed while it saved the order leaves the arrays, and has sent nothing.
    begun = (LOCK, ARRAYS, f"{ARRAYS}.part", f"{ORDER}.part")
    if out.exists() and (not out.is_dir() or any(f.name not in begun for f in out.iterdir())):
        raise RunError(
            f"{out} holds something else than results of `hqgan hardware sample`; choose another "
            "--out"
        )
    generator, about = load_snapshot(snapshot)
    counts = class_mix(about, settings.n, None) if mix is None else mix
    labels = [y for y, count in enumerate(counts) for _ in range(count)]
    z, y = (
        torch.cat(parts) for parts in zip(*latents(generator, labels, settings.seed), strict=True)
    )
    spare_compilation(generator, settings.n)
    call = circuit_call(generator, z, y)
    backend = opened(settings)
    if settings.noise_model:
        opened(Settings(settings.noise_model, settings.n))  # refused before anything is written
    if settings.noise_model or settings.backend.startswith(MODELS):
        require_simulable(call.layer)
    parts = tuple(jobs(backend, call, settings)) if isinstance(backend, Device) else ()
    return Plan(settings, out, snapshot, generator, about, z, y, call, backend, parts, False)


def folder_of(run: Path, out: Path | None = None) -> Path:
    """Where results about a run go: `out`, else `hardware` in the run that the snapshot lies in.

    UsageError for a generator of the package without `out`.
    """
    if out is not None:
        return out
    snapshot = find_snapshot(run)
    if is_packaged(snapshot):
        raise UsageError(
            f"{snapshot.name} belongs to the package, where nothing is written; say with --out "
            "where results go"
        )
    return snapshot.parent / FOLDER


def jobs(device: Device, call: Call, settings: Settings) -> Iterator[Part]:
    """The orders of a device, each for so many images as the settings allow."""
    n, most = settings.n, settings.images_per_job or settings.n
    rows = call.inputs.shape[1] // n
    circuit = call.layer.circuit
    for number, first in enumerate(range(0, n, most), 1):
        last = min(n, first + most)
        inputs = call.inputs[:, first * rows : last * rows]
        order = device.order(circuit, inputs, call.weights)
        yield Part(str(number), (first, last), order)


def opened(settings: Settings, spec: str | None = None) -> Backend | Device:
    """The backend of these settings, or another one under them."""
    return open_backend(
        spec or settings.backend,
        shots=settings.shots,
        mitigation=settings.mitigation,
        pack=settings.pack,
        seed=settings.seed,
    )


def restored(folder: Path, named: str | None = None) -> Plan:
    """The plan of a folder, as it was saved: nothing is transpiled or laid out anew.

    Args:
        folder: of an order.
        named: the backend that the user names; one that is code (`python:`) is opened only then.

    Raises:
        UsageError: the backend is code that the folder names, and nobody else.
        RunError: no order, a damaged one, or a generator that is not the one it was made of.
    """
    content, arrays = read_order(folder)
    try:
        settings = settings_of(content)
        if not all(str(one["name"]).isdecimal() for one in content["jobs"]):
            raise ValueError("a job's name is no number")
        snapshot = located(Path(content["snapshot"]), folder)
        parts = tuple(
            Part(
                one["name"],
                (int(one["images"][0]), int(one["images"][1])),
                Order.from_dict(one["order"], arrays[f"angles-{one['name']}"]),
            )
            for one in content["jobs"]
        )
        for part in parts:
            if part.order.backend != settings.backend and settings.backend != LEAST_BUSY:
                raise ValueError(f"a job is for {part.order.backend}, not {settings.backend}")
        z, y, inputs, weights = (
            torch.from_numpy(arrays[name]) for name in ("z", "y", "inputs", "weights")
        )
    except (*UNREADABLE, UsageError) as error:
        raise damaged(folder, error) from error
    generator, about = load_snapshot(snapshot)
    spare_compilation(generator, settings.n)
    try:
        require_latents(generator, settings.n, z, y)
        now = circuit_call(generator, z, y)
    except UNREADABLE as error:
        raise damaged(folder, error) from error
    same = now.inputs.shape == inputs.shape and now.weights.shape == weights.shape
    if not (
        same
        and (now.inputs - inputs).abs().max() < SAME_ANGLES
        and torch.equal(now.weights, weights)
    ):
        raise RunError(
            f"{snapshot} is not the generator any more that {folder} was ordered for; put that one "
            "back, or choose another --out"
        )
    call = Call(now.layer, inputs, weights)
    spec = settings.backend
    if spec == LEAST_BUSY and content["device"]:  # the one that was, not the one that is now
        spec = content["device"]
    answered = all((folder / answer(part.name)).is_file() for part in parts)
    if not (parts and answered) and spec.startswith(CODE) and spec != named:
        raise UsageError(
            f"{folder} was ordered from {spec}, which is code to be run, and code that a file "
            f"names is not run unasked; if you trust it, repeat with --backend {spec}"
        )
    backend = None if parts and answered else opened(settings, spec)
    return Plan(settings, folder, snapshot, generator, about, z, y, call, backend, parts, True)


def _continued(folder: Path, snapshot: Path, settings: Settings) -> Plan:
    """The saved plan, if it is one of these settings and this snapshot."""
    content, _ = read_order(folder)
    try:
        before = settings_of(content)
        changed = before.differences(settings)
        if Path(content["snapshot"]).name != snapshot.name:
            changed.append(f"snapshot: {Path(content['snapshot']).name} -> {snapshot.name}")
    except (*UNREADABLE, UsageError) as error:
        raise damaged(folder, error) from error
    if changed:
        raise UsageError(
            f"{folder} was ordered with other settings ({'; '.join(changed)}). Keep the old values "
            "to continue it, or choose another --out"
        )
    return restored(folder, settings.backend)


def answer(part: str) -> str:
    """The name of the file that keeps what a job gave."""
    return f"job-{part}.npz"
