"""Rewrites the tables of README from docs/results, and puts new results there.

Usage: python .ci/tables.py                (what `make tables` runs)
       python .ci/tables.py NAME FILE      first copies a comparison.json or comparison-final.json
                                           to docs/results/NAME.json, a line a model
"""

import json
import sys
from pathlib import Path

from hqgan.report.markdown import fill

ROOT = Path(__file__).parents[1]
README, RESULTS = ROOT / "README.md", ROOT / "docs" / "results"


def compact(comparison: dict) -> str:
    """The same JSON with each model on a line of its own, for small files and readable changes."""
    models = ",\n".join(json.dumps(model) for model in comparison["models"])
    rest = {key: value for key, value in comparison.items() if key != "models"}
    return f'{json.dumps(rest, indent=1)[:-2]},\n "models": [\n{models}\n]}}\n'


def read(file: Path) -> dict:
    """A comparison; anything else ends the command with a sentence."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        sys.exit(f"{file} cannot be read: {error.strerror}; name the table's comparison.json")
    except ValueError as error:
        sys.exit(f"{file} is not JSON ({error}); name the table's comparison.json")
    if not isinstance(found, dict) or not {"settings", "models"} <= found.keys():
        sys.exit(f"{file} is no comparison; name the comparison.json that `hqgan compare` wrote")
    return found


def main(arguments: list[str]) -> None:
    if len(arguments) not in (0, 2):
        sys.exit(__doc__)
    if arguments:
        name, file = arguments
        comparison = read(Path(file))
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{name}.json").write_text(compact(comparison), encoding="utf-8")
    results = {f.stem: json.loads(f.read_text(encoding="utf-8")) for f in RESULTS.glob("*.json")}
    README.write_text(fill(README.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
