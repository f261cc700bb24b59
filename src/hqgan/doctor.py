"""What this machine offers and what is missing, each with the one command that mends it."""

import importlib
import os
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import hqgan
from hqgan.data import EMBEDDED, cache_folder
from hqgan.data.loading import usable_cores
from hqgan.errors import UsageError

EXTRAS: dict[str, tuple[tuple[str, ...], str]] = {
    "quantum": (
        ("qiskit", "qiskit-aer", "qiskit-ibm-runtime", "qiskit-qasm3-import", "pennylane"),
        "noise models, hardware and other simulators",
    ),
    "diffusion": (("diffusers",), "the diffusion baseline"),
    "cluster": (("ray",), "runs spread over machines"),
    "app": (("gradio",), "the web page"),
    "export": (("onnx", "onnxscript", "onnxruntime"), "ONNX export"),
    "loggers": (("tensorboard", "wandb", "mlflow-skinny"), "experiment trackers"),
}
ANYWHERE = "export HQGAN_CACHE=$(mktemp -d)"
IBM_FILE = "~/.qiskit/qiskit-ibm.json"  # where Qiskit keeps accounts
LEAST_SPACE = 2e9  # bytes: a run of the default preset with its snapshots takes 0.3 GB


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `remedy` is None where nothing needs mending."""

    name: str
    state: str
    ok: bool
    remedy: str | None = None


def examine() -> list[Finding]:
    """Look at Python, torch, threads, accelerators, disk, data, weights, accounts and extras.

    Takes seconds.
    """
    return [
        Finding(
            "hqgan",
            f"{hqgan.__version__} on Python {platform.python_version()}, {platform.machine()}",
            True,
        ),
        _torch(),
        _threads(),
        _device(),
        _kernels(),
        _torchvision(),
        _disk(),
        _data(),
        _inception(),
        _cache(),
        _hub(),
        _ibm(),
        *(_extra(name, *facts) for name, facts in EXTRAS.items()),
    ]


def _torch() -> Finding:
    return Finding("torch", torch.__version__, True)


def _threads() -> Finding:
    threads, cores = torch.get_num_threads(), usable_cores()
    state = f"{threads} threads on {cores} cores"
    if threads <= cores:
        return Finding("threads", state, True)
    state += ": they wait for each other"
    return Finding("threads", state, False, f"export OMP_NUM_THREADS={cores}")


def _device() -> Finding:
    if torch.cuda.is_available():
        return Finding("device", f"cuda: {torch.cuda.get_device_name()}", True)
    if torch.backends.mps.is_available():
        return Finding("device", "mps (Apple)", True)
    bf16 = torch.cpu._is_avx512_bf16_supported()
    return Finding(
        "device",
        f"cpu, bf16 {'in hardware' if bf16 else 'not in hardware: training runs in float32'}",
        True,
    )


def _kernels() -> Finding:
    try:
        return Finding("numba", version("numba"), True)
    except PackageNotFoundError:
        return Finding("numba", "absent", False, "pip install numba")


def _torchvision() -> Finding:
    """The core never needs it, but a broken one breaks what imports it (torchmetrics, timm)."""
    try:
        found = version("torchvision")
    except PackageNotFoundError:
        return Finding("torchvision", "absent (the core does not need it)", True)
    try:
        importlib.import_module("torchvision")
    except Exception as error:
        remedy = "pip uninstall -y torchvision"
        return Finding("torchvision", f"{found} is broken: {error}", False, remedy)
    return Finding("torchvision", found, True)


def _inception() -> Finding:
    named = os.environ.get("HQGAN_INCEPTION")
    if named and Path(named).is_file():
        return Finding("Inception weights", named, True)
    if named:
        state = f"HQGAN_INCEPTION names {named}, which is no file"
        return Finding("Inception weights", state, False, "unset HQGAN_INCEPTION")
    return Finding(
        "Inception weights",
        "none named: evaluate reports fd_tiny only, unless it has fetched them",
        True,
        "hqgan evaluate RUN --inception-weights download",
    )


def _disk() -> Finding:
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free
    state = f"{free / 1e9:,.1f} GB free in {folder}"
    if not os.access(folder, os.W_OK):
        return Finding("disk", f"{folder} cannot be written", False, "cd ~")
    if free < LEAST_SPACE:
        return Finding("disk", f"{state}, little for a few runs", False, "du -sh -- * | sort -h")
    return Finding("disk", state, True)


def _data() -> Finding:
    named = os.environ.get("HQGAN_DATA")
    if not named:
        state = "HQGAN_DATA is not set: without --data the built-in images are used"
        return Finding("data", state, True)
    if not Path(named).exists() and named != EMBEDDED:
        state = f"HQGAN_DATA names {named}, which is not there"
        return Finding("data", state, False, "unset HQGAN_DATA")
    return Finding("data", f"HQGAN_DATA is {named}", True)


def _cache() -> Finding:
    try:
        folder = cache_folder()
    except UsageError as error:
        return Finding("cache", str(error), False, ANYWHERE)
    nearest = next(p for p in (folder, *folder.parents) if p.exists())
    writable = nearest.is_dir() and os.access(nearest, os.W_OK)
    if writable:
        return Finding("cache", str(folder), True)
    state = f"{folder} cannot be written: every start decodes and compiles again"
    return Finding("cache", state, False, ANYWHERE)


def _hub() -> Finding:
    from huggingface_hub import get_token

    state = "token found" if get_token() else "no token (needed for sharing only)"
    return Finding("Hugging Face", state, True, None if get_token() else "hf auth login")


def _ibm() -> Finding:
    places = {
        "QISKIT_IBM_TOKEN": bool(os.environ.get("QISKIT_IBM_TOKEN")),
        IBM_FILE: Path(IBM_FILE).expanduser().is_file(),
    }
    found = " and ".join(name for name, there in places.items() if there)
    state = f"found in {found}" if found else "none (needed for real hardware only)"
    return Finding("IBM account", state, True)


def _extra(name: str, packages: tuple[str, ...], purpose: str) -> Finding:
    found, absent = [], []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            absent.append(package)
    if not absent:
        return Finding(f"extra {name}", ", ".join(found), True)
    state = "; ".join([*found, f"absent: {', '.join(absent)} ({purpose})"])
    return Finding(f"extra {name}", state, True, f"pip install 'hqgan[{name}]'")
