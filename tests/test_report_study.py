"""The page of a study: power before results, every arm and class, and no claim but the sentence's.

The studies are tabulated by the real functions, from predictions drawn at random: a classifier's
probabilities lean towards the true class by its arm's `skill`.
"""

import csv
import json
import re
from dataclasses import asdict
from html import escape
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.transforms import Bbox

from hqgan.data import Dataset
from hqgan.errors import RunError
from hqgan.protocol import Protocol
from hqgan.report import report
from hqgan.report.study import study_page
from hqgan.report.study_figures import (
    arms_figure,
    confusion_figure,
    elsewhere_figure,
    forest_figure,
    recall_figure,
)
from hqgan.workflows.study import Plan, StudyResult
from hqgan.workflows.study.cell import CELL, Study
from hqgan.workflows.study.cells import POOL, ClassifierCell, GeneratorCell, PoolCell
from hqgan.workflows.study.plan import lay_out
from hqgan.workflows.study.results import tabulate
from hqgan.workflows.synthesis import ClassReport
from html_pages import cells

CLASSES = ("akiec", "a<b & c", "nv")
COUNTS = (10, 20, 50)
SKILL = {"standard": 1.0, "hybridq": 1.0, "great": 2.5}
ARMS = {"standard": {}, "hybridq": {"generator": "hybridq"}, "great": {"balance": "oversampling"}}
PAIRS = [["hybridq", "standard"], ["great", "standard"]]


def split(name: str, counts: tuple[int, ...], classes: tuple[str, ...]) -> Dataset:
    """Black images, two of each lesion, skin types in turn."""
    labels = np.repeat(np.arange(len(counts)), counts)
    ids = np.array([f"{name}-{i:04d}" for i in range(len(labels))])
    groups = np.array([f"{name}-{y}-{i // 2}" for i, y in enumerate(labels)])
    types = np.where(np.arange(len(labels)) % 3, "I & II", "V<VI")
    images = np.zeros((len(labels), 8, 8, 3), np.uint8)
    return Dataset(images, labels, classes, groups, ids, name, {"skin": types})


def tabulated(
    out: Path,
    skill: dict[str, float] = SKILL,
    classes: tuple[str, ...] = CLASSES,
    counts: tuple[int, ...] = COUNTS,
    final: bool = True,
    failed: tuple[str, int] | None = None,
    **changes: Any,
) -> StudyResult:
    """A study of which every cell is done: by chance, not by training."""
    settings = {"data": "embedded", "seeds": 8, "arms": ARMS, "primary": {"comparisons": PAIRS}}
    protocol = Protocol.model_validate(settings | {"device": "cpu"} | changes)
    train, tested = split("train", counts, classes), split("test", counts, classes)
    study = Study(out, protocol)
    stages = lay_out(study, train)
    for cell in (cell for stage in stages for cell in stage):
        cell.folder.mkdir(parents=True)
        record: dict[str, Any] = {"failed": None}
        place = cell.folder / "classifier"
        if isinstance(cell, GeneratorCell):
            record |= {"stopped": None}
            place = cell.folder / "run" / "snapshot-000001"
        # What others would read is there, but nobody does.
        for name in ("hqgan.json", "classifier.json", "model.safetensors"):
            place.mkdir(parents=True, exist_ok=True)
            (place / name).touch()
        if isinstance(cell, PoolCell):
            reports = [
                ClassReport(name, asked=n, made=n + 7, kept=n, near_copies=3, unrecognised=4)
                for name, n in zip(classes, cell.counts, strict=True)
            ]
            told = {"detectability": 0.9 + 0.01 * cell.seed, "extractor": "tiny"}
            np.savez(cell.folder / POOL, images=[], labels=[])
            record |= {"per_class": [asdict(report) for report in reports], **told}
        if isinstance(cell, ClassifierCell):
            added = cell.pool.counts if cell.pool else [0] * len(classes)
            record |= {"real": train.counts.tolist(), "synthetic": list(added)}
            np.save(cell.folder / "test.npy", guesses(cell, tested, skill[cell.arm_name]))
            if (cell.arm_name, cell.seed) == failed:
                record = {"failed": "it diverged"}
        (cell.folder / CELL).write_text(json.dumps(record))
    plan = Plan(study, stages, tested, ("classes are few <here>",), {"train_checksum": "0"})
    return tabulate(plan, tested, final)


def guesses(cell: ClassifierCell, tested: Dataset, skill: float) -> np.ndarray:
    """Probabilities (N, K); what is hard about an image is so for every arm."""
    hard = np.random.default_rng(0).normal(size=(len(tested), len(tested.classes)))
    seed = [cell.seed, len(cell.arm_name), int(100 * cell.fraction)]
    own = np.random.default_rng(seed).normal(size=hard.shape)
    logits = hard + 0.5 * own
    logits[np.arange(len(tested)), tested.labels] += skill * cell.fraction**0.3
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    return tabulated(tmp_path_factory.mktemp("study"), groups=["skin"], fractions=[1.0, 0.5])


@pytest.fixture(scope="module")
def page(result: StudyResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the page."""
    out = tmp_path_factory.mktemp("page") / "new"
    files = study_page(result, out)
    assert sorted(files) == sorted(out.iterdir())
    return out


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The JSON of a smaller study, to be changed."""
    return json.dumps(tabulated(tmp_path_factory.mktemp("small"), seeds=2).as_json())


def html(out: Path) -> str:
    """The page without its pictures."""
    return re.sub(r"base64,[^\"]*", "", next(out.glob("study*.html")).read_text())


def numbers(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(next(out.glob("study*.json")).read_text())
    return found


def test_the_sentence_and_what_could_be_found_come_before_all_results(
    page: Path, result: StudyResult
) -> None:
    text = html(page)
    order = [
        escape(result.sentence),
        escape(result.warnings[0]),
        "Minimum detectable effect.",
        "fixed before anything was trained",
        '">Comparisons',
        "Exploratory, no test",
        '">Arms',
        '">Each class',
        '">Confusion',
        '">Groups',
        '">Controls',
        '">What this shows',
    ]
    shown = text.partition("<main>")[2]
    places = [shown.index(mark) for mark in order]
    assert places == sorted(places)
    assert (
        f"{100 * result.minimum_detectable_effect:.1f} points of balanced accuracy. A true effect"
        in text
    )


def test_every_arm_class_and_group_is_on_the_page(page: Path) -> None:
    text = html(page)
    for name in (*ARMS, *CLASSES, "V<VI", "I & II"):
        assert escape(name) in text.partition("<main>")[2]
    assert text.count("<svg") == 6


def test_names_are_text(page: Path) -> None:
    text = html(page)
    assert "a<b" not in text
    assert "<here>" not in text
    assert "V<VI" not in text


def test_nothing_is_called_better_but_by_the_sentence(page: Path, result: StudyResult) -> None:
    null, effect = (one["sentence"] for one in result.comparisons if one["primary"])
    assert "no effect is shown" in null
    assert "it is better" in effect
    text = html(page)
    for one in result.comparisons:
        text = text.replace(escape(one["sentence"]), "")
    assert not re.findall("better|worse|outperform|superior|significant|improve", text)


def test_the_csv_files_hold_the_numbers_of_the_json(page: Path) -> None:
    found = numbers(page)
    with (page / "study-final.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(found["arms"]) == 2 * len(ARMS)
    for line, row in zip(lines, found["arms"], strict=True):
        assert (line["arm"], float(line["fraction"])) == (row["arm"], row["fraction"])
        for measure, each in row["measures"].items():
            ends = [float(line[f"{measure}_{end}"]) for end in ("low", "high")]
            assert [float(line[measure]), *ends] == [each["value"], *each["interval"]]
        for one in row["per_class"]:
            assert float(line[f"recall {one['class']}"]) == one["recall"]
    with (page / "study-final-comparisons.csv").open() as file:
        for line, one in zip(csv.DictReader(file), found["comparisons"], strict=True):
            assert (line["arm"], line["sentence"]) == (one["arm"], one["sentence"])
            assert float(line["difference"]) == one["value"]
            assert line["p_holm"] == (str(one["p_holm"]) if one["primary"] else "")


def test_the_protocol_is_known_by_its_checksum_wherever_the_data_lie(page: Path) -> None:
    protocol = Protocol.model_validate(numbers(page)["protocol"])
    assert numbers(page)["checksums"]["protocol"] == protocol.checksum()
    assert protocol.checksum() in html(page)
    moved = protocol.model_copy(update={"data": "elsewhere"})
    assert moved.checksum() == protocol.checksum()


def test_percent_and_points_are_those_of_the_json(page: Path) -> None:
    found, text = numbers(page), html(page)
    tested = found["comparisons"][0]
    shown = "{:+.1f} [{:+.1f}, {:+.1f}]".format(
        *(100 * x for x in (tested["value"], *tested["interval"]))
    )
    assert shown in cells(text)
    auroc = found["arms"][0]["measures"]["auroc"]
    assert "{:.3f} [{:.3f}, {:.3f}]".format(auroc["value"], *auroc["interval"]) in cells(text)


def test_small_classes_are_marked(page: Path) -> None:
    text = html(page)
    assert "akiec (n = 10 *)" in text
    assert "nv (n = 50)" in text
    assert "proves little" in text


def test_a_study_of_one_seed_has_intervals_over_lesions_and_no_p_values(tmp_path: Path) -> None:
    alone = tabulated(tmp_path / "study", seeds=1, final=False)
    study_page(alone, tmp_path)
    text = html(tmp_path)
    assert alone.comparisons[0]["interval"] is not None
    assert all(one["p"] is None for one in alone.comparisons if one["primary"])
    assert "Minimum detectable effect.</strong> Unknown" in text
    assert "there is no test and no p value" in text
    assert "support no claim" in text
    assert ">Groups" not in text
    (axis,) = forest_figure(alone).axes
    assert all("no test" in text.get_text() for text in axis.texts)


def test_a_study_without_synthetic_images_has_no_controls(tmp_path: Path) -> None:
    arms = {name: arm for name, arm in ARMS.items() if name != "hybridq"}
    primary = {"comparisons": [["great", "standard"]]}
    found = tabulated(tmp_path / "study", arms=arms, primary=primary, seeds=2)
    study_page(found, tmp_path)
    assert "No arm has synthetic images" in html(tmp_path)
    assert "Exploratory, no test" not in html(tmp_path)


def test_a_class_without_images_is_a_dash_everywhere(tmp_path: Path, plain: str) -> None:
    found = json.loads(plain)
    for row in found["arms"]:
        row["confusion"][0] = [0, 0, 0]
        row["per_class"][0] |= {"recall": None, "precision": None, "n": 0}
    study = StudyResult(**found)
    assert "–" in {text.get_text() for text in recall_figure(study).axes[0].texts}
    assert "–" in {text.get_text() for text in confusion_figure(study).axes[0].texts}
    study_page(study, tmp_path)
    assert "akiec (n = 0 *)" in html(tmp_path)


def test_comparisons_that_cannot_be_made_say_why(tmp_path: Path, plain: str) -> None:
    found = json.loads(plain)
    for one in found["comparisons"]:
        one |= {"value": None, "interval": None, "by_seed": [], "note": "there is no <image>"}
    study_page(StudyResult(**found), tmp_path)
    assert "there is no &lt;image&gt;" in html(tmp_path)


def test_the_same_result_gives_the_same_bytes(result: StudyResult, page: Path) -> None:
    before = {file.name: file.read_bytes() for file in page.iterdir()}
    assert before == {file.name: file.read_bytes() for file in study_page(result, page)}
    assert report(page, page.parent / "report.html").file.read_bytes() == before["study-final.html"]


def test_a_page_that_cannot_be_written_says_so(plain: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="choose another --out"):
        study_page(StudyResult(**json.loads(plain)), tmp_path / "file")


def test_an_arm_of_which_a_seed_failed_has_no_numbers_but_a_reason(tmp_path: Path) -> None:
    arm = next(name for name in ARMS if name != PAIRS[0][1])
    found = tabulated(tmp_path / "study", failed=(arm, 3))
    study_page(found, tmp_path / "page")
    assert "it diverged" in html(tmp_path / "page")
    row = next(row for row in found.as_json()["arms"] if row["arm"] == arm)
    assert row["seeds"] == 0
    assert {one["value"] for one in row["measures"].values()} == {None}


def test_weights_and_rates_of_classifiers_are_on_the_page(tmp_path: Path) -> None:
    given = {"weights": {"resnet-small": "/a/file"}, "learning_rate": {"resnet-small": 0.01}}
    study_page(tabulated(tmp_path / "study", classifier=given), tmp_path / "page")
    assert "resnet-small: /a/file" in html(tmp_path / "page")
    assert "resnet-small: 0.01" in html(tmp_path / "page")


def test_many_arms_with_long_names_do_not_overlap(tmp_path: Path) -> None:
    long = "standard-with-class-weights-and-hybridq-images"
    arms: dict[str, Any] = {"standard": {}} | {f"{long}-{i:02d}": {} for i in range(11)}
    classes = ("a rather long name of a disease", "x$y$", "nv")
    found = tabulated(
        tmp_path / "study",
        dict.fromkeys(arms, 1.0),
        classes,
        seeds=2,
        arms=arms,
        primary={"comparisons": [[f"{long}-00", "standard"], [f"{long}-01", f"{long}-02"]]},
        fractions=[1.0, 0.25],
    )
    study = StudyResult(**found.as_json())
    for draw in (forest_figure, elsewhere_figure, arms_figure, recall_figure, confusion_figure):
        figure = draw(study)
        width, height = figure.canvas.get_width_height()
        for axis in figure.axes:
            labels = axis.get_yticklabels() + (axis.get_xticklabels() if axis.images else [])
            boxes = [each.get_window_extent() for each in labels if each.get_text()]
            assert not [pair for pair in combinations(boxes, 2) if overlap(*pair)]
        texts = [each.get_window_extent() for axis in figure.axes for each in axis.texts]
        for box in (*boxes, *texts):
            assert 0 <= box.x0 < box.x1 <= width
            assert 0 <= box.y0 < box.y1 <= height


def test_of_many_classes_confusions_are_numbered(tmp_path: Path) -> None:
    names = tuple(f"condition {y}" for y in range(30))
    found = tabulated(tmp_path, classes=names, counts=(4,) * 30, seeds=1)
    for axis in confusion_figure(StudyResult(**found.as_json())).axes:
        assert {each.get_text() for each in axis.get_yticklabels()} <= {*map(str, range(30)), ""}
        assert not axis.texts


def overlap(one: Bbox, other: Bbox) -> bool:
    """Whether two boxes share more than an edge."""
    wide = min(one.x1, other.x1) - max(one.x0, other.x0)
    high = min(one.y1, other.y1) - max(one.y0, other.y0)
    return wide > 0 and high > 0
