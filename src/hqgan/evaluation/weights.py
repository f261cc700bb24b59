"""Where the Inception weights come from: a local file, or one download of known sha256."""

import hashlib
import http.client
import tempfile
import urllib.error
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor

from hqgan.errors import HqganError
from hqgan.fetching import OPENER, UnsafeAddress, chunks, length_of, require_safe

Progress = Callable[[int, int], None]

INCEPTION_URL = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth"
)
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
_MOST = 200 << 20  # bytes, twice what it has
_TIMEOUT = 30.0  # seconds without a byte
_BY_HAND = "Download the file by hand and name it with --inception-weights or HQGAN_INCEPTION."


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], str]:
    """The tensors in a safetensors file or a pickled state dict (.pth), and the file's sha256.

    Pickles are read with `weights_only`: a file cannot run code here. HqganError where the file
    is missing or is no state dict.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise HqganError(
            f"There are no Inception weights at {path}. "
            "Correct --inception-weights or HQGAN_INCEPTION, or leave both out."
        )
    digest = _sha256(path)
    try:
        if path.suffix == ".safetensors":
            return load_safetensors(path.read_bytes()), digest
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the bytes of a file lead it to
        raise HqganError(
            f"{path} cannot be read as a state dict. "
            f"Expected {Path(INCEPTION_URL).name} or a safetensors file with the same names; "
            "TorchScript is not read."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise HqganError(
            f"{path} holds a {type(state).__name__}, expected a state dict of tensors by name. "
            f"Use {Path(INCEPTION_URL).name} as pytorch-fid publishes it."
        )
    return state, digest


def download_inception(
    folder: str | Path,
    *,
    url: str = INCEPTION_URL,
    sha256: str = INCEPTION_SHA256,
    progress: Progress | None = None,
) -> Path:
    """Fetch the full FID Inception (91 MiB) into `folder` unless it is there, and return its path.

    Only https (plain http to this machine alone), only the file of this `sha256`; an interrupted
    or changed download leaves nothing behind. `progress` is called with (bytes done, bytes in
    all, 0 if unknown). HqganError for a failing network, another file or a folder that cannot be
    written.
    """
    target = Path(folder).expanduser() / Path(urllib.parse.urlsplit(url).path).name
    if target.is_file() and _sha256(target) == sha256:
        return target
    part: Path | None = None
    try:
        require_safe(url)
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            OPENER.open(url, timeout=_TIMEOUT) as response,
            tempfile.NamedTemporaryFile(dir=target.parent, suffix=".part", delete=False) as file,
        ):
            part = Path(file.name)
            total, digest = length_of(response) or 0, hashlib.sha256()
            for chunk in chunks(response, _MOST):
                file.write(chunk)
                digest.update(chunk)
                if progress is not None:
                    progress(file.tell(), total)
        if digest.hexdigest() != sha256:
            raise HqganError(
                f"{url} gave a file of sha256 {digest.hexdigest()}, expected {sha256}; "
                f"it was not kept. {_BY_HAND}"
            )
        part.replace(target)
    except UnsafeAddress as error:
        raise HqganError(f"{error} {_BY_HAND}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # URLError is an OSError
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        raise HqganError(
            f"Could not download {url} to {target.parent}: {error}. {_BY_HAND}"
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
    return target


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
