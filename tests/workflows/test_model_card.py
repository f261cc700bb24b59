"""The model card of a run tells what the run knows, and nothing that is nobody's business."""

import json
from pathlib import Path

import pytest
import yaml

from hqgan.evaluation import load_extractor
from hqgan.evaluation.run import evaluate_run
from hqgan.models import find_snapshot, load_snapshot
from hqgan.models.card import OURS
from hqgan.training import train
from hqgan.workflows.model_card import refresh_card, run_card
from hqgan.workflows.privacy import privacy
from small_runs import tiny_config, write_folders


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("card")
    data = write_folders(place / "clinic-of-jane")
    train(tiny_config(0.032, data=data), place / "run")
    return place / "run"


def card_of(run: Path) -> str:
    return (find_snapshot(run) / "README.md").read_text()


def test_a_card_is_filled_as_the_run_is_measured(run: Path) -> None:
    data = str(run.parent / "clinic-of-jane")
    assert "Not measured yet" in card_of(run)
    assert "Not looked for yet" in card_of(run)
    evaluate_run(run, data, load_extractor(name="tiny"))
    refresh_card(run)
    card = card_of(run)
    records = [json.loads(line) for line in (run / "evaluation.jsonl").read_text().splitlines()]
    for record in records:
        value = "" if record["value"] is None else f"{record['value']:.4g}"
        assert f"| val | {record['recipe']} | {record['class'] or 'all'} | {value} |" in card
    found = privacy(run, data, load_extractor(name="tiny"), n=70)
    refresh_card(run)
    assert f"- On val: {found.as_json()['sentence']}" in card_of(run)
    assert "Not looked for" not in card_of(run)


def test_it_tells_settings_time_and_machine(run: Path) -> None:
    card = run_card(find_snapshot(run))
    assert "`critic.width: 32 -> 8`" in card
    assert "| images | 32 x 32 pixels |" in card
    assert "| training time | " in card
    assert "| trained on | cpu (" in card
    assert "| mel | 8 |" in card


def test_it_does_not_tell_where_the_data_lie(run: Path) -> None:
    card = run_card(find_snapshot(run))
    assert "clinic-of-jane" not in card
    assert str(run.parent) not in card
    assert yaml.safe_load(card.split("---")[1])["license"] == "unknown"
    assert "check it before you share" in card


def test_the_built_in_images_are_named(tmp_path: Path) -> None:
    train(tiny_config(0.008), tmp_path / "run")
    card = run_card(find_snapshot(tmp_path / "run"))
    assert "synthetic lesions built into hqgan" in card
    assert yaml.safe_load(card.split("---")[1])["license"] == "apache-2.0"


def test_a_card_that_somebody_wrote_stays(run: Path) -> None:
    file = find_snapshot(run) / "README.md"
    ours = file.read_text()
    try:
        file.write_text(ours.replace(OURS + "\n", "").replace("Limits", "What it cannot do"))
        own = file.read_text()
        refresh_card(run)
        assert file.read_text() == own == run_card(find_snapshot(run))
        assert load_snapshot(run)[0].card == own
    finally:
        file.write_text(ours)
