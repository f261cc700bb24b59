"""What an attacker, a bad disk or a careless editor makes of a snapshot, case by case."""

import json
import os
import pickle
import random
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

CONFIG, ABOUT, WEIGHTS, CARD = "config.json", "hqgan.json", "model.safetensors", "README.md"
DEEP = 10_000
HEADER = 100 << 20  # bytes
HEAD = 12_000  # bytes of a weights file that random changes fall on
SPARSE = 8 << 40  # bytes that a file claims and the disk does not hold
# What may stand in the place of any value of a JSON file, as JSON.
VALUES = {
    "null": "null", "true": "true", "false": "false", "zero": "0", "one": "1", "negative": "-1",
    "float": "2.5", "thousand": "1000", "billion": "1000000000", "20 digits": "9" * 20,
    "5000 digits": "9" * 5000, "NaN": "NaN", "infinity": "Infinity", "minus infinity": "-Infinity",
    "1e999": "1e999", "-0.0": "-0.0", "word": '"word"', "empty": '""', "number in quotes": '"3"',
    "long word": json.dumps("x" * 100_000), "escape": json.dumps("\x1b[2J\x1b]0;owned\x07"),
    "script": json.dumps("<script>alert(1)</script>"), "path": '"../../../../etc/passwd"',
    "null byte": json.dumps("a\0b"), "surrogate": '"\\ud800"', "other script": '"病变"',
    "list": "[]", "numbers": "[1, 2, 3]", "object": "{}", "nested": "[" * DEEP + "]" * DEEP,
    "nested objects": '{"a":' * DEEP + "1" + "}" * DEEP,
}  # fmt: skip


class Case(NamedTuple):
    """A name, and what is done to the folder of a snapshot."""

    name: str
    tamper: Callable[[Path], None]


class Canary:
    """Unpickled by anybody who unpickles anything, it writes a file."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"echo owned > '{self.file}'",)


def cases(folder: Path, canary: Path) -> Iterator[Case]:
    """Everything that is done to the snapshot in `folder`, which stays as it is."""
    for name in (CONFIG, ABOUT):
        yield from json_cases(name, json.loads((folder / name).read_text(encoding="utf-8")))
    yield from weight_cases((folder / WEIGHTS).read_bytes())
    for name in (CONFIG, ABOUT, WEIGHTS, CARD):
        yield from file_cases(name, canary)
    yield from random_cases(folder)


def json_cases(file: str, content: dict[str, Any]) -> Iterator[Case]:
    """Every key misspelt, missing, there twice, of every other value."""
    for key in content:
        less = {k: v for k, v in content.items() if k != key}
        yield write(file, f"without {key}", json.dumps(less))
        yield write(file, f"{key} misspelt", json.dumps({**less, key[:-1]: content[key]}))
        yield write(file, f"{key} in capitals", json.dumps({**less, key.upper(): content[key]}))
        hidden = json.dumps(less)[:-1] + f', "{key}": 7, "{key}": {json.dumps(content[key])}}}'
        yield write(file, f"{key} twice", hidden)
        for name, value in VALUES.items():
            text = json.dumps(less)[:-1] + f', "{key}": {value}}}'
            yield write(file, f"{key} is {name}", text)
    for key in ("of_a_later_version", "__class__", "self", "病变", "a\0b", "x" * 100_000):
        yield write(file, f"more: {key:.20}", json.dumps({**content, key: 1}))
    for name, value in VALUES.items():
        yield write(file, f"all of it is {name}", value)
    if "classes" in content and isinstance(content["classes"], list):
        yield from class_cases(file, content)


def class_cases(file: str, content: dict[str, Any]) -> Iterator[Case]:
    """Names of classes, and their numbers."""
    names = content["classes"]
    for odd in (*map(json.loads, list(VALUES.values())[16:26]), "..", "/etc", "a/../../b", "=1+1"):
        yield write(
            file, f"a class {odd!r:.30}", json.dumps({**content, "classes": [odd, *names[1:]]})
        )
    for value in (0, -1, 1.5, True, None, "3", 10**400):
        counts = [value, *content["class_counts"][1:]]
        yield write(file, f"a count {value!r:.20}", json.dumps({**content, "class_counts": counts}))
    twice = [names[0]] * len(names)
    yield write(file, "one class twice", json.dumps({**content, "classes": twice}))
    many = {"classes": [str(n) for n in range(100_000)], "class_counts": [1] * 100_000}
    yield write(file, "100,000 classes", json.dumps({**content, **many}))
    origin = {"name": "x", "data": "y", "licence": "z", "source": "s"}
    for one in (origin | {"name": 1}, origin | {"more": 1}, {}, {"name": "x"}, [], "x", 1):
        yield write(file, f"origin {one!r:.30}", json.dumps({**content, "origin": one}))


def weight_cases(content: bytes) -> Iterator[Case]:
    """A header that lies about what follows it, and tensors that are not the model's."""
    length = struct.unpack("<Q", content[:8])[0]
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    put = partial(write, WEIGHTS)
    for part in (0, 1, 7, 8, 9, 8 + length // 2, 8 + length, 9 + length, len(content) - 1):
        yield put(f"cut after {part} bytes", content[:part])
    yield put("a byte too many", content + b"\0")
    for claimed in (0, 1, length - 1, length + 1, len(content), HEADER, 2**31, 2**63, 2**64 - 1):
        yield put(f"claims a header of {claimed}", struct.pack("<Q", claimed) + content[8:])
    yield Case("model.safetensors: a header of 100 MB", big_header)
    first = next(name for name in header if name != "__metadata__")
    tensors = [name for name in header if name != "__metadata__"]
    for name in tensors:
        yield put(f"without {name}", packed({k: v for k, v in header.items() if k != name}, data))
    for name, change in {
        "begins before": {"data_offsets": [-1, header[first]["data_offsets"][1]]},
        "ends after the file": {"data_offsets": [0, len(data) + 4]},
        "overlaps": {"data_offsets": [0, header[first]["data_offsets"][1] + 4]},
        "is empty": {"shape": [0], "data_offsets": [0, 0]},
        "is huge": {"shape": [10**12]},
        "overflows": {"shape": [2**32, 2**32]},
        "has a negative edge": {"shape": [-1]},
        "has no shape": {"shape": []},
        "is flat": {"shape": [header[first]["shape"][0] if header[first]["shape"] else 1]},
        "is half": {"dtype": "F16"},
        "is double": {"dtype": "F64"},
        "is whole numbers": {"dtype": "I32"},
        "is of no type": {"dtype": "PICKLE"},
        "has a type that is a number": {"dtype": 5},
        "has more keys": {"code": "os.system"},
        "is nested": {"shape": [[[1]]]},
    }.items():
        yield put(f"{first} {name}", packed(header | {first: header[first] | change}, data))
    end = len(data)
    more = {"dtype": "F32", "shape": [4], "data_offsets": [end, end + 16]}
    for name in ("surplus", "__class__", "../../x", "", "x" * 100_000, "病变"):
        yield put(f"and a tensor {name:.20}", packed({**header, name: more}, data + bytes(16)))
    many = {
        f"t{n}": {"dtype": "F32", "shape": [], "data_offsets": [end + 4 * n, end + 4 * n + 4]}
        for n in range(20_000)
    }
    yield put("and 20,000 tensors", packed(header | many, data + bytes(80_000)))
    yield put("no tensors", packed({}, b""))
    yield put("metadata of numbers", packed({**header, "__metadata__": {"format": 5}}, data))
    for name, value in VALUES.items():
        text = value.encode("utf-8", "replace")
        yield put(f"header is {name}", struct.pack("<Q", len(text)) + text + data)
    for word, bits in (("NaN", 0x7FC00000), ("infinity", 0x7F800000), ("3e38", 0x7F61B1E6)):
        begin, stop = header[first]["data_offsets"]
        bad = data[:begin] + struct.pack("<I", bits) * ((stop - begin) // 4) + data[stop:]
        yield put(f"{first} is {word}", packed(header, bad))
        yield put(f"all are {word}", packed(header, struct.pack("<I", bits) * (len(data) // 4)))


def file_cases(file: str, canary: Path) -> Iterator[Case]:
    """Something else in the place of a file."""
    yield Case(f"{file}: absent", lambda folder: (folder / file).unlink())
    for name, content in {
        "empty": b"",
        "zeros": bytes(100_000),
        "no text": b"\xff\xfe\x00" * 1000,
        "a byte-order mark": b"\xef\xbb\xbf{}",
        "a pickle": pickle.dumps(Canary(canary)),
        "Python": f"import os; os.system('echo owned > {canary}')".encode(),
        "HTML": b"<!doctype html><title>404</title>",
        "a pointer of git-lfs": b"version https://git-lfs.github.com/spec/v1\nsize 1\n",
    }.items():
        yield write(file, f"is {name}", content)
    yield Case(f"{file}: a folder", partial(replaced, file, Path.mkdir))
    yield Case(f"{file}: a pipe", partial(replaced, file, os.mkfifo))
    for target in ("/dev/zero", "/dev/stdin", "/etc/shadow", "nowhere", file):
        yield Case(
            f"{file}: a link to {target}",
            partial(replaced, file, lambda path, target=target: path.symlink_to(target)),
        )
    yield Case(f"{file}: 8 TB of nothing", partial(replaced, file, sparse))


def random_cases(folder: Path, count: int = 400) -> Iterator[Case]:
    """Bytes flipped, taken out, put in, at places drawn from a fixed seed."""
    draw = random.Random(9)
    for number in range(count):
        file = draw.choice([CONFIG, ABOUT, WEIGHTS, WEIGHTS, WEIGHTS])
        content = bytearray((folder / file).read_bytes())
        for _ in range(draw.choice([1, 1, 2, 8])):
            place, how = (
                draw.randrange(min(HEAD, len(content))),
                draw.choice(["flip", "set", "out", "in"]),
            )
            if how == "flip":
                content[place] ^= 1 << draw.randrange(8)
            elif how == "set":
                content[place] = draw.choice(b'\x00\xff0129-"{}[],:eE')
            elif how == "out":
                del content[place]
            else:
                content.insert(place, draw.randrange(256))
        yield write(file, f"random change {number}", bytes(content))


def write(file: str, name: str, content: bytes | str) -> Case:
    """A case that replaces one file."""
    text = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    return Case(f"{file}: {name}", lambda folder: void((folder / file).write_bytes(text)))


def void(_: object) -> None:
    """Nothing."""


def packed(header: dict[str, Any], data: bytes) -> bytes:
    """A safetensors file, whatever its header says."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def big_header(folder: Path) -> None:
    """As long as the reader of safetensors permits, and of one tensor's name."""
    with (folder / WEIGHTS).open("wb") as file:
        file.write(struct.pack("<Q", HEADER) + b'{"')
        for _ in range(100):
            file.write(b"x" * (1 << 20))


def replaced(file: str, make: Callable[[Path], None], folder: Path) -> None:
    """Something else under the file's name."""
    (folder / file).unlink()
    make(folder / file)


def sparse(path: Path) -> None:
    """A file of a size that no memory holds."""
    with path.open("wb") as file:
        file.truncate(SPARSE)
