"""Where a run computes: device, precision and processes, by Lightning Fabric."""

import logging
import os

import torch
from lightning_fabric import Fabric

from hqgan.errors import UsageError


def make_fabric(device: str, precision: str) -> Fabric:
    """Fabric for a device and precision; several processes when started by torchrun.

    Args:
        device: "auto", "cpu", "cuda" or "mps".
        precision: "float32", "bf16" (autocast), or "auto": bf16 where the hardware computes in it.

    Raises:
        UsageError: for a device this machine does not have.
    """
    available = ["cpu"]
    available += ["cuda"] * torch.cuda.is_available()
    available += ["mps"] * torch.backends.mps.is_available()
    if device == "auto":
        device = available[1] if len(available) > 1 else "cpu"
    if device not in available:
        raise UsageError(f"device is {device!r}, but this machine offers {', '.join(available)}")
    if precision == "auto":
        precision = "bf16" if has_bf16(device) else "float32"
    world, local = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    # Fabric announces the precision, which env.json records.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator=device,
        devices=local,
        num_nodes=world // local,
        strategy="ddp" if world > 1 else "auto",
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )
    fabric.launch()
    return fabric


def has_bf16(device: str) -> bool:
    """Whether the hardware multiplies in bfloat16; emulation is slower than float32."""
    if device == "cpu":
        return torch.cpu._is_avx512_bf16_supported()
    return device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def leave_group() -> None:
    """End the group of processes, if there is one: its threads abort a process that exits first."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
