"""What two equal runs of a command have in common: all they wrote, but for how long it took."""

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import torch

# How long things took, in any of the files; everything else must be equal.
TIMING = {
    *("seconds", "training_seconds", "images_per_second", "sampling_images_per_second"),
    "program",  # Qiskit gives every parameter a random name, which its file format keeps
}
# One exists while a process works, and holds nothing; the other tells what happened when.
LEFT_OUT = {".lock", "jobs.jsonl"}
TIMED_LINE = "| training time |"  # of a model card


def contents(folder: Path) -> dict[str, str]:
    """A digest of each file below a folder, taken without the fields of `TIMING`."""
    found = {}
    for file in sorted(folder.rglob("*")):
        name = str(file.relative_to(folder))
        # A page says how long things took, and its numbers are those of the json beside it.
        if file.is_file() and file.name not in LEFT_OUT and file.suffix != ".html":
            found[name] = digest(file)
    return found


def digest(file: Path) -> str:
    """Of the meaning of a file where its bytes may differ, else of its bytes."""
    if file.name == "state.pt":
        return hashed(repr(plain(torch.load(file, weights_only=True))))
    if file.suffix == ".json":
        return hashed(json.dumps(plain(json.loads(file.read_text()))))
    if file.suffix == ".jsonl":
        return hashed(json.dumps([plain(json.loads(x)) for x in file.read_text().splitlines()]))
    if file.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(file.read_text())))
        return hashed(json.dumps(plain(rows)))
    if file.suffix == ".md":
        lines = file.read_text().splitlines()
        return hashed("\n".join(line for line in lines if not line.startswith(TIMED_LINE)))
    return hashlib.sha256(file.read_bytes()).hexdigest()


def plain(value: Any) -> Any:
    """Without timing fields; tensors as hashes of their bytes."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items() if key not in TIMING}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, torch.Tensor):
        flat = value.detach().contiguous().reshape(-1).view(torch.uint8)
        return [str(value.dtype), list(value.shape), hashlib.sha256(flat.numpy()).hexdigest()]
    return value


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
