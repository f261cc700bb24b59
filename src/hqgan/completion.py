"""What the shell offers for an option's value when Tab is pressed.

`hqgan --install-completion` sets it up. An answer must come at once, so that nothing here imports
torch or Qiskit.
"""

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path

BACKENDS = ("exact", "shots:", "noise:", "aer:", "fake:", "ibm:", "python:")
DATA_SETS = ("ham10000", "dermamnist", "dermamnist-64", "dermamnist-128", "dermamnist-224")

Completion = Callable[[str], list[str]]


def among(*words: str) -> Completion:
    """A completion of fixed words."""
    return lambda incomplete: beginning(incomplete, words)


def beginning(incomplete: str, words: Iterable[str]) -> list[str]:
    """Those words that begin as the user did."""
    return [word for word in words if word.startswith(incomplete)]


def presets(incomplete: str) -> list[str]:
    """Presets, with +kit."""
    from hqgan.config import preset_names

    return beginning(incomplete, preset_names())


def models(incomplete: str) -> list[str]:
    """Presets, the last of a list by commas."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in presets(last)]


def settings(incomplete: str) -> list[str]:
    """Keys of a configuration, for --set."""
    from hqgan.config import known_keys
    from hqgan.schema import Config

    known = dict.fromkeys(known_keys(Config))
    whole = [key for key in known if not any(other.startswith(f"{key}.") for other in known)]
    return beginning(incomplete, [f"{key}=" for key in whole])


def pretrained(incomplete: str) -> list[str]:
    """Packaged generators."""
    from hqgan.pretrained import pretrained_names

    return beginning(incomplete, pretrained_names())


def tables(incomplete: str) -> list[str]:
    """Tables that `hqgan reproduce` knows."""
    from hqgan.tables import table_names

    return beginning(incomplete, table_names())


def backends(incomplete: str) -> list[str]:
    """Backends; after a kind that has them, devices."""
    kind, colon, _ = incomplete.partition(":")
    if not colon:
        return beginning(incomplete, BACKENDS)
    names = fake_devices()
    known = {
        "shots": ["1024", "4096", "16384"],
        "noise": names,
        "aer": names,
        "fake": [name.removeprefix("fake_") for name in names],
        "ibm": ["least_busy"],
    }
    return beginning(incomplete, [f"{kind}:{name}" for name in known.get(kind, [])])


def noises(incomplete: str) -> list[str]:
    """Devices whose noise a training can be under."""
    return beginning(incomplete, [f"aer:{name}" for name in fake_devices()])


def fake_devices() -> list[str]:
    """Names of the fake devices of qiskit-ibm-runtime, by their folders."""
    found = find_spec("qiskit_ibm_runtime")
    if found is None or found.origin is None:
        return []
    folder = Path(found.origin).parent / "fake_provider" / "backends"
    return sorted(f"fake_{file.parent.name}" for file in folder.glob("*/conf_*.json"))
