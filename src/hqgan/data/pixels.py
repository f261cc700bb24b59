"""The one map between stored pixels (uint8, NHWC) and model pixels (float, NCHW, in [-1, 1])."""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_float(images: np.ndarray) -> Tensor:
    """Return (B, 3, H, W) float32 in [-1, 1] for (B, H, W, 3) uint8: 0 is -1 and 255 is 1.

    The memory layout is channels_last; the bytes are read once and never transposed.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(f"expected uint8 (B, H, W, 3), got {images.dtype} {images.shape}")
    return torch.from_numpy(images).permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1.0)


def to_uint8(images: Tensor) -> np.ndarray:
    """Return (B, H, W, 3) uint8 for (B, 3, H, W) in [-1, 1]: rounded, clamped, never rescaled.

    The inverse of `to_float`. Raises `ValueError` for a value that is not finite.
    """
    if not images.is_floating_point() or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"expected float (B, 3, H, W), got {images.dtype} {tuple(images.shape)}")
    if not torch.isfinite(images).all():
        raise ValueError("images hold NaN or infinity, which no pixel can show")
    levels = images.detach().float().add(1.0).mul_(127.5).round_().clamp_(0, 255)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).to(torch.uint8).cpu().numpy())


def save_png(image: np.ndarray, path: str | Path) -> Path:
    """Write one uint8 (H, W, 3) image as PNG (lossless) and return its path."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(f"expected uint8 (H, W, 3), got {image.dtype} {image.shape}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, format="PNG")
    return path


def save_grid(images: np.ndarray, path: str | Path, columns: int | None = None) -> Path:
    """Write uint8 (B, H, W, 3) images as one PNG, row by row with a thin white gap.

    Args:
        columns: images per row; `None` is about square.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
        raise ValueError(f"expected uint8 (B, H, W, 3), got {images.dtype} {images.shape}")
    count, height, width, _ = images.shape
    columns = min(count, columns or math.ceil(math.sqrt(count)))
    gap = 2
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return save_png(sheet, path)
