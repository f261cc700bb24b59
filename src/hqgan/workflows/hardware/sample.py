"""Images of one generator by exact values, shots, a noise model and a device: the same latents.

values.npz    the circuits' values by source, (C, R, V), and the device's standard errors
images.png    a row a source, a column a latent
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hqgan.data import save_grid
from hqgan.errors import RunError
from hqgan.evaluation import Extractor
from hqgan.quantum import simulate
from hqgan.quantum.statevector import Run
from hqgan.workflows.hardware.arrays import are_expectations, load_arrays, save_arrays
from hqgan.workflows.hardware.asked import Settings
from hqgan.workflows.hardware.capture import Call
from hqgan.workflows.hardware.jobs import CEILING, Message, fetch
from hqgan.workflows.hardware.journal import Journal, journal
from hqgan.workflows.hardware.judging import Reference
from hqgan.workflows.hardware.order_files import ORDER
from hqgan.workflows.hardware.plan import SHOTS, Plan, opened
from hqgan.workflows.hardware.results import EXACT, Compared, Given, Source, compare

VALUES, IMAGES = "values.npz", "images.png"
PACKAGES = ("hqgan", "torch", "qiskit", "qiskit-aer", "qiskit-ibm-runtime")
CHUNK = 16  # images whose circuits are simulated at once
ERRORS = "errors"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Hardware:
    """What came of one order; `as_json` are the keys of `hqgan hardware sample --json`.

    `values` are (C, R, V) by source, and not part of the JSON.
    """

    settings: Settings
    folder: Path
    snapshot: str
    device: str
    shots: int | None
    bills: list[dict[str, Any]]
    estimated_qpu_seconds: float | None
    qpu_seconds: float | None
    compared: Compared = field(repr=False)
    values: dict[str, np.ndarray] = field(repr=False, compare=False)

    @property
    def answer(self) -> Source:
        """The backend's best values: mitigated ones where there are such."""
        return self.compared.sources[-1]

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dictionaries; errors are against exact values."""
        best = self.answer
        return {
            "backend": self.device,
            "mean_absolute_error": best.mean_absolute_error,
            "correlation": best.correlation,
            "shots": self.shots,
            "qpu_seconds": self.qpu_seconds,
            "estimated_qpu_seconds": self.estimated_qpu_seconds,
            "out": str(self.folder),
            "snapshot": self.snapshot,
            "settings": asdict(self.settings),
            "bills": self.bills,
            "versions": versions(),
            **self.compared.as_json(),
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        yield from self.compared.lines()
        if self.qpu_seconds is not None:
            yield (
                f"QPU time used: {self.qpu_seconds:.3g} s, "
                f"{self.estimated_qpu_seconds or 0:.3g} s expected"
            )


def sample(
    plan: Plan,
    reference: Reference,
    extractor: Extractor | None = None,
    *,
    submit: bool = False,
    retry: bool = False,
    wait: bool = True,
    ceiling: float = CEILING,
    message: Message = lambda text: None,
    progress: Progress | None = None,
) -> Hardware | None:
    """Run a plan as far as it goes, and measure what came of it.

    What is simulated here comes first, so that whatever fails there fails before anything is paid.

    Args:
        plan: see `hqgan.workflows.hardware.plan`.
        reference: real images for kid768, or why there are none.
        extractor: see `load_extractor`; None measures no kid768.
        submit, retry, wait, message: see `hqgan.workflows.hardware.jobs.fetch`.
        ceiling: the most seconds of QPU time; of no interest to what is simulated.
        progress: called as progress(stage, done, total).

    Returns:
        None where jobs are still to be sent or waited for.

    Raises:
        RunError: another process works in the folder, it cannot be written, or a job failed.
        UsageError: beyond the ceiling; nothing is sent.
        DeviceError: the service refused, or does not answer.
    """
    with journal(plan.folder) as notes:
        if plan.saved != (plan.folder / ORDER).is_file():
            raise RunError(
                f"another process is at work in {plan.folder}, or was; repeat the command"
            )
        writing(plan)
        found = values(plan, notes, submit, retry, wait, ceiling, message, progress)
        if found is None:
            return None
        given, used = found
        labels = plan.y.tolist()
        judge, reason = reference.judge(extractor, plan.settings.seed, labels)
        compared = compare(plan.generator, plan.z, plan.y, given, judge, reason, plan.settings.seed)
        rows = compared.examples
        save_grid(rows.reshape(-1, *rows.shape[2:]), plan.folder / IMAGES, columns=rows.shape[1])
    bills = [part.order.bill for part in plan.parts]
    return Hardware(
        settings=plan.settings,
        folder=plan.folder,
        snapshot=plan.snapshot.name,
        device=plan.parts[0].order.backend if bills else plan.settings.backend,
        shots=shots_of(plan),
        bills=[bill.to_dict() for bill in bills],
        estimated_qpu_seconds=plan.qpu_seconds if bills else None,
        qpu_seconds=used,
        compared=compared,
        values={name: one.values.numpy() for name, one in given.items()},
    )


def values(
    plan: Plan,
    notes: Journal,
    submit: bool,
    retry: bool,
    wait: bool,
    ceiling: float,
    message: Message,
    progress: Progress | None,
) -> tuple[dict[str, Given], float | None] | None:
    """By source, and the QPU seconds used; None where the device's are not there yet."""
    given = {name: Given(*one) for name, one in simulated(plan, progress).items()}
    used = None
    if plan.parts:
        answer = fetch(
            plan,
            notes,
            submit=submit,
            retry=retry,
            wait=wait,
            ceiling=ceiling if plan.pays else None,
            message=message,
        )
        if answer is None:
            return None
        order, used = plan.parts[0].order, answer.qpu_seconds
        what = f"{order.bill.backend}, {order.shots:,} shots"
        mitigated = not torch.equal(answer.values, answer.raw)
        given["raw"] = Given(answer.raw, what, None if mitigated else answer.errors)
        if mitigated:
            better = f"{what}, {order.mitigation}"
            given["mitigated"] = Given(answer.values, better, answer.errors)
        save_values(plan, given)
    return given, used


def simulated(plan: Plan, progress: Progress | None = None) -> dict[str, tuple[Tensor, str]]:
    """What is computed here, each source once: it stays in values.npz."""
    call = plan.call
    shape = call.layer.circuits, call.inputs.shape[1], call.layer.circuit.outputs
    kept = kept_values(plan.folder / VALUES, shape)
    found: dict[str, tuple[Tensor, str]] = {}
    for name, (run, what) in runs(plan).items():
        if name not in kept:
            kept[name] = in_chunks(call, plan.settings.n, run, name, progress).numpy()
            save_values(plan, {key: Given(torch.from_numpy(v), "") for key, v in kept.items()})
        found[name] = torch.from_numpy(kept[name]), what
    return found


def runs(plan: Plan) -> dict[str, tuple[Run, str]]:
    """What computes values here, by source, and what it is in words."""
    settings = plan.settings
    spec = settings.backend
    chosen: dict[str, tuple[Run, str]] = {EXACT: (simulate, "simulated here")}
    shots = shots_of(plan) or SHOTS
    if not spec.startswith(("exact", "shots:")):
        ideal = opened(Settings(f"shots:{shots}", settings.n, seed=settings.seed))
        chosen["shots"] = ideal, f"no noise, {shots:,} shots"
    if settings.noise_model:
        model = opened(Settings(settings.noise_model, settings.n, seed=settings.seed))
        chosen["noise"] = model, settings.noise_model
    if plan.backend is not None and not plan.parts:
        more = f", {settings.shots:,} shots" if settings.shots else ""
        chosen["backend"] = plan.backend, spec + more
    return chosen


def shots_of(plan: Plan) -> int | None:
    """Measurements of each circuit in each basis; None where values have no shot noise."""
    if plan.parts:
        return plan.parts[0].order.shots
    kind, _, number = plan.settings.backend.partition(":")
    return int(number) if kind == "shots" else plan.settings.shots


def versions() -> dict[str, str]:
    """Of the packages that had a hand in it, those that are installed."""
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def in_chunks(call: Call, n: int, run: Run, stage: str, progress: Progress | None) -> Tensor:
    """Values (C, R, V) of all circuits of n images, so many at once that memory is no question."""
    rows = call.inputs.shape[1] // n
    found, done = [], 0
    with torch.no_grad():
        for part in call.inputs.split(CHUNK * rows, 1):
            found.append(run(call.layer.circuit, part, call.weights).double())
            done += part.shape[1] // rows
            if progress is not None:
                progress(stage, done, n)
    return torch.cat(found, 1)


def kept_values(file: Path, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """What an earlier call computed, (C, R, V); nothing where the file is absent or damaged."""
    try:
        found = load_arrays(file).items()
        return {name: v for name, v in found if v.shape == shape and are_expectations(v)}
    except Exception:  # numpy raises whatever damaged bytes lead it to; they are computed again
        return {}


def save_values(plan: Plan, given: dict[str, Given]) -> None:
    """Write values.npz."""
    arrays = {name: one.values.numpy() for name, one in given.items()}
    errors = [one.errors for one in given.values() if one.errors is not None]
    save_arrays(plan.folder / VALUES, arrays | ({ERRORS: errors[-1].numpy()} if errors else {}))


def writing(plan: Plan) -> None:
    """Save the order of a plan that has none on disk yet."""
    if not plan.saved:
        try:
            plan.save()
        except OSError as error:
            raise RunError(
                f"cannot write to {plan.folder}: {error.strerror}; choose another --out"
            ) from error
