"""What this machine offers and what is missing, each with the one command that mends it."""

import importlib
import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import hqgan
from hqgan.data import cache_folder
from hqgan.errors import UsageError

EXTRAS = {
    "quantum": ("qiskit", "noise models and hardware"),
    "diffusion": ("diffusers", "the diffusion baseline"),
    "cluster": ("ray", "runs spread over machines"),
    "app": ("gradio", "the web page"),
    "export": ("onnx", "ONNX export"),
    "loggers": ("tensorboard", "experiment trackers"),
}


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `remedy` is None where nothing needs mending."""

    name: str
    state: str
    ok: bool
    remedy: str | None = None


def examine() -> list[Finding]:
    """Look at Python, torch, accelerators, numba, torchvision, weights, cache, account and extras.

    Takes seconds.
    """
    return [
        Finding(
            "hqgan",
            f"{hqgan.__version__} on Python {platform.python_version()}, {platform.machine()}",
            True,
        ),
        _torch(),
        _device(),
        _kernels(),
        _torchvision(),
        _inception(),
        _cache(),
        _ibm(),
        *(_extra(name, *facts) for name, facts in EXTRAS.items()),
    ]


def _torch() -> Finding:
    return Finding("torch", f"{torch.__version__}, {torch.get_num_threads()} threads", True)


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
        remedy = "pip uninstall torchvision, or install the build of your torch's own index"
        return Finding("torchvision", f"{found} is broken: {error}", False, remedy)
    return Finding("torchvision", found, True)


def _inception() -> Finding:
    named = os.environ.get("HQGAN_INCEPTION")
    if named and Path(named).is_file():
        return Finding("Inception weights", named, True)
    state = (
        f"HQGAN_INCEPTION names {named}, which is no file"
        if named
        else "none: evaluate reports fd_tiny only"
    )
    remedy = (
        "export HQGAN_INCEPTION=FILE, or let evaluate fetch them once: "
        "hqgan evaluate RUN --inception-weights download"
    )
    return Finding("Inception weights", state, not named, remedy)


def _cache() -> Finding:
    try:
        folder = cache_folder()
    except UsageError as error:
        return Finding("cache", str(error), False, "export HQGAN_CACHE=FOLDER")
    nearest = next(p for p in (folder, *folder.parents) if p.exists())
    writable = nearest.is_dir() and os.access(nearest, os.W_OK)
    remedy = (
        None
        if writable
        else "export HQGAN_CACHE=a folder you may write to (without one, every start decodes again)"
    )
    return Finding("cache", f"{folder}{'' if writable else ' cannot be written'}", writable, remedy)


def _ibm() -> Finding:
    account = Path("~/.qiskit/qiskit-ibm.json").expanduser().is_file() or bool(
        os.environ.get("QISKIT_IBM_TOKEN")
    )
    return Finding(
        "IBM account", "found" if account else "none (needed for real hardware only)", True
    )


def _extra(name: str, package: str, purpose: str) -> Finding:
    try:
        return Finding(f"extra {name}", f"{package} {version(package)}", True)
    except PackageNotFoundError:
        return Finding(f"extra {name}", f"absent: {purpose}", True, f"pip install 'hqgan[{name}]'")
