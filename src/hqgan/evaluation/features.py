"""Images to features: what every image metric is computed on.

`load_extractor` gives the widest network whose weights are at hand:

    inception2048   all of FID's Inception: its 2048 features; only these make a number called FID
    inception768    the same network up to `Mixed_6e`
    tiny            a small seeded convolutional network that needs no file: for demos and tests

Images come in as uint8 (N, H, W, 3), exactly what a PNG holds, so the arrays at hand and the PNG
files written from them have the same features. They are mapped to [-1, 1] and resized to 299 by
bilinear interpolation (align_corners=False, no antialiasing, as pytorch-fid does); `tiny` resizes
to 32 with antialiasing.
"""

import hashlib
import logging
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from hqgan.data import cache_folder
from hqgan.errors import HqganError, UsageError
from hqgan.evaluation import tiny
from hqgan.evaluation.inception import INPUT_SIZE, LAYER_DIMS, Inception, deepest_layer
from hqgan.evaluation.weights import (
    INCEPTION_URL,
    Progress,
    download_inception,
    read_weights,
)

logger = logging.getLogger(__name__)

Features = NDArray[np.float32]
Images = NDArray[np.uint8]

EXTRACTORS = {"tiny": "tiny", "inception768": "Mixed_6e", "inception2048": "Mixed_7c"}  # layers
BATCH = 32  # images a pass: half a GiB in the Inception, and no slower than larger ones
_PREPROCESSING = "1"  # part of every cache key: raise it with any change from pixels to features


class Extractor:
    """A fixed network that turns images into features, with a cache on disk keyed by content.

    `name` is one of `EXTRACTORS`, `dim` the number of features, `sha256` that of the weights
    (of the file, or of `tiny`'s tensors); together they identify the numbers. The features of an
    image do not depend on the others in its batch. A pass through the whole Inception also
    caches the 768 features it meets on its way.
    """

    def __init__(
        self,
        name: str,
        sha256: str,
        network: nn.Module,
        *,
        cache_dir: Path | None,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.name = name
        self.dim = tiny.DIM if name == "tiny" else LAYER_DIMS[EXTRACTORS[name]]
        self.sha256 = sha256
        network = network.eval().to(device=device, dtype=dtype)
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._cache_dir = cache_dir
        self._device = device
        self._dtype = dtype

    def __str__(self) -> str:
        """What a report must say: `inception768 float32 sha256:f32244d578169d5a`."""
        return f"{self.name} {str(self._dtype).removeprefix('torch.')} sha256:{self.sha256[:16]}"

    def __call__(self, images: Images, progress: Progress | None = None) -> Features:
        """Features (N, dim) float32 of uint8 images (N, H, W, 3), read from the cache if there.

        `progress` is called with (images done, images in all) after each batch.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(
                f"images are {images.dtype} {images.shape}, expected uint8 (N, H, W, 3)"
            )
        if not len(images):
            return np.zeros((0, self.dim), np.float32)
        content = hashlib.sha256(repr(images.shape).encode())
        content.update(np.ascontiguousarray(images).data)
        digest = content.hexdigest()
        cached = self._read(digest, len(images))
        if cached is not None:
            return cached
        computed = self._compute(images, progress)
        for name, features in computed.items():
            self._write(name, digest, features)
        return computed[self.name]

    def narrower(self) -> "Extractor | None":
        """The 768 features on the way to the 2048 of the whole Inception; None for other networks.

        After a pass of the wide one they come from the cache.
        """
        if self.name != "inception2048":
            return None
        return Extractor(
            "inception768",
            self.sha256,
            self._network,
            cache_dir=self._cache_dir,
            device=self._device,
            dtype=self._dtype,
        )

    @torch.inference_mode()
    def _compute(self, images: Images, progress: Progress | None) -> dict[str, Features]:
        parts: dict[str, list[Features]] = {}
        for start in range(0, len(images), BATCH):
            batch = torch.from_numpy(np.array(images[start : start + BATCH])).to(self._device)
            for layer, features in self._network(self._prepare(batch)).items():
                parts.setdefault(layer, []).append(features.float().cpu().numpy())
            if progress is not None:
                progress(min(start + BATCH, len(images)), len(images))
        return {
            name: np.concatenate(parts[layer])
            for name, layer in EXTRACTORS.items()
            if layer in parts
        }

    def _prepare(self, batch: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) to the network's input (B, 3, S, S) in [-1, 1]."""
        x = batch.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        small = self.name == "tiny"
        side = tiny.INPUT_SIZE if small else INPUT_SIZE
        x = F.interpolate(x, (side, side), mode="bilinear", align_corners=False, antialias=small)
        return x.to(self._dtype, memory_format=torch.channels_last)

    def _path(self, name: str, digest: str) -> Path | None:
        if self._cache_dir is None:
            return None
        key = hashlib.sha256(
            f"{digest} {self.sha256} {name} {self._dtype} {_PREPROCESSING}".encode()
        )
        return self._cache_dir / "features" / f"{key.hexdigest()[:32]}.npy"

    def _read(self, digest: str, count: int) -> Features | None:
        path = self._path(self.name, digest)
        if path is None or not path.is_file():
            return None
        try:
            features = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None  # a damaged entry is computed again and replaced
        fits = features.shape == (count, self.dim) and features.dtype == np.float32
        return features if fits else None

    def _write(self, name: str, digest: str, features: Features) -> None:
        path = self._path(name, digest)
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                part = Path(folder) / path.name
                np.save(part, features, allow_pickle=False)
                part.replace(path)  # whole or not at all, also with two processes at once
        except OSError as error:
            logger.warning("Features are not cached: %s", error)


def load_extractor(
    path: str | Path | None = None,
    name: str | None = None,
    *,
    download: bool = False,
    cache: bool = True,
    cache_dir: str | Path | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: Progress | None = None,
) -> Extractor:
    """The extractor `name`, or the widest that the weights allow.

    Args:
        path: Inception weights, safetensors or .pth; `None` is the download where it is asked
            for, else $HQGAN_INCEPTION, else an earlier download.
        name: one of `EXTRACTORS`; `None` is the widest: inception2048, inception768 or tiny.
        download: fetch the full weights (91 MiB, once) where `path` is `None`.
        cache: keep features on disk.
        cache_dir: for features and the download; `None` is $HQGAN_CACHE, else ~/.cache/hqgan.
        device: where the network runs.
        dtype: bfloat16 is about twice as fast, and for training curves only.
        progress: called as progress(bytes done, bytes in all) during a download.

    Raises:
        UsageError: an unknown name.
        HqganError: weights that are missing, unreadable or too few for `name`; a failed download.
    """
    if name is not None and name not in EXTRACTORS:
        raise UsageError(f"Unknown extractor {name!r}; expected one of {', '.join(EXTRACTORS)}.")
    folder = cache_folder(cache_dir)
    kept = folder if cache else None
    if name == "tiny":
        return _tiny(kept, device)
    source = path or (None if download else os.environ.get("HQGAN_INCEPTION")) or None
    if source is None and (download or (folder / Path(INCEPTION_URL).name).is_file()):
        source = download_inception(folder, progress=progress)
    if source is None and name is None:
        return _tiny(kept, device)
    if source is None:
        raise HqganError(
            f"{name} needs Inception weights, and none are at hand. Name a file with "
            "--inception-weights or HQGAN_INCEPTION, or allow the download of 91 MiB with "
            "--inception-weights download."
        )
    state, sha256 = read_weights(source)
    held = LAYER_DIMS.get(deepest_layer(state) or "", 0)
    possible = [key for key, layer in EXTRACTORS.items() if LAYER_DIMS.get(layer, held + 1) <= held]
    if not possible or name not in (None, *possible):
        raise HqganError(
            f"{source} allows {' and '.join(possible) or 'no extractor'}, "
            f"expected {name or 'FID Inception v3 with the names of pytorch-fid'}. "
            "Name a file that holds more layers, or leave the choice of the extractor open."
        )
    name = name or possible[-1]
    network = Inception(EXTRACTORS[name])
    try:
        network.load(state)
    except ValueError as error:
        raise HqganError(f"{source} cannot be used as Inception weights: {error}.") from error
    return Extractor(name, sha256, network, cache_dir=kept, device=device, dtype=dtype)


def _tiny(cache_dir: Path | None, device: str) -> Extractor:
    network = tiny.TinyNet()
    return Extractor("tiny", network.sha256(), network, cache_dir=cache_dir, device=device)
