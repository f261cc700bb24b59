"""What a snapshot declares of its model, held against itself before anything of it is built.

config.json may come from anybody. A number in it that is a thousand times too large would keep a
machine busy for hours or fill its memory, so numbers are bounded first; then the model is built
without memory (on torch's meta device), and its weights must be those that the header of
model.safetensors names. A model therefore never takes more memory than its file.
"""

import inspect
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import safe_open

from hqgan.errors import did_you_mean
from hqgan.reading import require_regular

# The largest number that a constructor's argument may be in a file. What makes loops is bounded by
# what a computer builds in a second, what makes tensors by what any generator of ours could need;
# `hqgan.schema` allows no run more.
LARGEST: dict[str, int] = {
    "classes": 1 << 16,
    "size": 128,
    "z_dim": 4096,
    "w_dim": 4096,
    "base": 1 << 16,
    "channel_cap": 4096,
    "width_cap": 4096,
    "width": 4096,
    "components": 1000,
    "sampling_steps": 1000,
    "qubits": 20,
    "circuits": 1000,
    "circuit_groups": 16,
    "circuit_layers": 100,
    "layers": 100,
    "depth": 100,
    "mapping_layers": 100,
}
LARGEST_FLOAT = 10**6  # of a factor, or of thousands of images
LONGEST_WORD = 100  # characters
LONGEST_HEADER = 8 << 20  # bytes of JSON before the weights
FLOATS = frozenset({"F16", "BF16", "F32", "F64"})  # a model may be kept in another precision
WHOLE = {torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL"}


def require_arguments(kind: type, arguments: Any) -> dict[str, Any]:
    """The constructor arguments that a config.json holds; ValueError unless they are `kind`'s.

    Every one must be known, of the type it is annotated with, and within `LARGEST`.
    """
    if not isinstance(arguments, Mapping):
        raise ValueError(f"config.json holds {type(arguments).__name__}, expected keys and values")
    known = inspect.signature(kind).parameters
    for name, value in arguments.items():
        if name not in known:
            raise ValueError(
                f"config.json has the key {name!r:.60}, which the {kind.__name__} of this version "
                f"of hqgan does not know.{did_you_mean(name[:LONGEST_WORD], list(known))} If a "
                "later version wrote it, update hqgan"
            )
        require_value(name, value, known[name].annotation)
    missing = [
        name
        for name, parameter in known.items()
        if name not in arguments and parameter.default is inspect.Parameter.empty
    ]
    if missing:
        raise ValueError(f"config.json lacks the key {missing[0]!r}")
    return dict(arguments)


def require_value(name: str, value: Any, annotation: Any) -> None:
    """ValueError unless `value` may be the argument `name`."""
    kinds = get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    shown = f"{name} is {value!r:.60}"
    if value is None and type(None) in kinds:
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and (float in kinds or (int in kinds and isinstance(value, int))):
        least, most = (1, LARGEST[name]) if int in kinds else (0, LARGEST_FLOAT)
        if not least <= value <= most:  # nor is NaN
            raise ValueError(f"{shown}, expected at least {least} and at most {most:,}")
        return
    if isinstance(value, bool):
        fits = bool in kinds
    else:
        fits = isinstance(value, str) and str in kinds and len(value) <= LONGEST_WORD
    if not fits:
        expected = " or ".join("null" if k is type(None) else k.__name__ for k in kinds)
        raise ValueError(f"{shown}, expected {expected}")


def require_weights(kind: type[torch.nn.Module], arguments: Mapping[str, Any], file: Path) -> None:
    """ValueError unless `file` holds the weights of `kind(**arguments)`: names, shapes, types.

    Nothing of a weight's size is allocated or read.
    """
    declared = read_declared(file)
    with torch.device("meta"):
        wanted = kind(**arguments).state_dict()
    for names, seen in (
        (wanted.keys() - declared.keys(), "lacks"),
        (declared.keys() - wanted.keys(), "holds, against the model,"),
    ):
        if names:
            raise ValueError(f"{file.name} {seen} {min(names)!r:.60}")
    for name, tensor in wanted.items():
        dtype, shape = declared[name]
        if shape != tuple(tensor.shape):
            raise ValueError(
                f"{name} is {shape} in {file.name}, but {tuple(tensor.shape)} in the model"
            )
        expected = FLOATS if tensor.is_floating_point() else {WHOLE[tensor.dtype]}
        if dtype not in expected:
            raise ValueError(f"{name} is {dtype} in {file.name}, expected {min(expected)}")


def read_declared(file: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of every tensor of a safetensors file, by its header alone.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such file; its header is too long.
        SafetensorError: the header contradicts itself or the file's size.
    """
    size = require_regular(file)
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
    if length > min(size, LONGEST_HEADER):
        raise ValueError(f"{file.name} is no safetensors file, or was cut off")
    with safe_open(file, "pt") as stored:
        slices = {name: stored.get_slice(name) for name in stored.keys()}  # noqa: SIM118  # no dict
        return {
            name: (str(one.get_dtype()), tuple(one.get_shape())) for name, one in slices.items()
        }
