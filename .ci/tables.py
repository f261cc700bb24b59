"""Rewrites the tables of README and docs from docs/results, and puts new results there.

Usage: python .ci/tables.py                (what `make tables` runs)
       python .ci/tables.py NAME FILE      first copies a comparison.json, study.json or the same of
                                           test to docs/results/NAME.json, a line a model or arm
"""

import json
import sys
from pathlib import Path

from hqgan.pretrained import FOLDER, METRICS, pretrained_names
from hqgan.report.readme import fill

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
RESULTS = DOCS / "results"


def pages() -> list[Path]:
    """The pages that may hold tables."""
    return [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def compact(result: dict) -> str:
    """The same JSON, a line a model or arm, for small files and readable changes."""
    lines = []
    for key, value in result.items():
        if isinstance(value, list) and value:
            inner = ",\n".join(json.dumps(entry) for entry in value)
            lines.append(f"{json.dumps(key)}: [\n{inner}\n]")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def portable(result: dict) -> dict:
    """Without the place where the images lay on the machine of the study."""
    if "protocol" not in result:
        return result
    protocol = result["protocol"]
    return result | {"protocol": protocol | {"data": Path(protocol["data"]).name}}


def read(file: Path) -> dict:
    """A comparison or study; anything else ends the command with a sentence."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        sys.exit(f"{file} cannot be read: {error.strerror}; name the table's comparison.json")
    except ValueError as error:
        sys.exit(f"{file} is not JSON ({error}); name the table's comparison.json")
    kinds = ({"settings", "models"}, {"protocol", "arms"})
    if not isinstance(found, dict) or not any(keys <= found.keys() for keys in kinds):
        sys.exit(
            f"{file} is neither a comparison nor a study; name the comparison.json that `hqgan "
            "compare` wrote, or the study.json of `hqgan study`"
        )
    return found


def main(arguments: list[str]) -> None:
    if len(arguments) not in (0, 2):
        sys.exit(__doc__)
    if arguments:
        name, file = arguments
        found = compact(portable(read(Path(file))))
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{name}.json").write_text(found, encoding="utf-8")
    results = {f.stem: json.loads(f.read_text(encoding="utf-8")) for f in RESULTS.glob("*.json")}
    packaged = {n: json.loads((FOLDER / n / METRICS).read_text()) for n in pretrained_names()}
    for page in pages():
        text = page.read_text(encoding="utf-8")
        if (filled := fill(text, results, packaged)) != text:
            page.write_text(filled, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
