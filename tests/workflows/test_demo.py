"""The demo ends with pictures and a measured distance, and continues where it stopped."""

import json
from pathlib import Path

from hqgan.pretrained import pretrained_names
from hqgan.workflows import demo


def test_the_demo_leaves_pictures_and_numbers_and_may_be_run_again(tmp_path: Path) -> None:
    run = tmp_path / "demo"
    first = demo(run, kimg=0.1)
    assert first.training.images_seen == 128
    assert first.run == str(run)
    assert first.recipe == "fd_tiny"
    assert first.value > first.floor > 0  # noise is further from the lesions than lesions are
    lines = [json.loads(line) for line in Path(first.metrics).read_text().splitlines()]
    assert lines[0]["value"] == first.value
    assert [one.name for one in first.finished] == pretrained_names()
    assert all(Path(one.picture).is_file() for one in first.finished)
    second = demo(run, kimg=0.1)
    assert second.training.images_seen == 128
    assert second.value == first.value
