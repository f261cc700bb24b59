"""Trackers are told what metrics.jsonl holds; the real packages read it back, without network."""

import json
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hqgan.errors import MissingExtra
from hqgan.training import Callbacks, loggers, loop, train
from hqgan.training.loggers import tracking
from small_runs import metrics, tiny_config, tiny_dataset, weights

EVERY = 24  # images between two lines
HEADER, FRAME, BLOCK = 7, 7, 32768  # bytes of a log of LevelDB
FULL, LAST = 1, 4  # frames that end a record


@pytest.fixture(autouse=True)
def frequent_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", EVERY)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_PROJECT", "WANDB_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # restored after the test


def trained(run: Path, name: str, kimg: float = 0.048) -> list[str]:
    """Train or continue with one tracker; returns what was said."""
    said: list[str] = []
    config = tiny_config(kimg, f"loggers=[{name}]" if name else "loggers=[]")
    train(config, run, tiny_dataset(), Callbacks(message=said.append))
    return said


def told(run: Path) -> dict[int, float]:
    """The critic's loss by images seen."""
    return {int(r["images_seen"]): r["critic_loss"] for r in metrics(run)}


def test_tensorboard_holds_losses_and_pictures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trained(tmp_path / "run", "tensorboard")
    (tmp_path / "run" / "trackers.json").write_text("[1]")  # damaged, which is no matter
    trained(tmp_path / "run", "tensorboard", kimg=0.096)  # continued
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    read = {e.step: e.value for e in events.Scalars("critic_loss")}
    assert list(read) == [24, 48, 72, 96]
    assert read == pytest.approx(told(tmp_path / "run"), rel=1e-6)  # kept in single precision
    assert [picture.step for picture in events.Images("samples")] == [48, 96]
    assert events.Images("samples")[0].encoded_image_string.startswith(b"\x89PNG")


def test_mlflow_goes_on_in_one_run_in_the_run_folder(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    trained(tmp_path / "run", "mlflow")
    (number,) = json.loads((tmp_path / "run" / "trackers.json").read_text()).values()
    trained(tmp_path / "run", "mlflow", kimg=0.096)
    client = MlflowClient(tracking_uri=(tmp_path / "run" / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("hqgan")
    (kept,) = client.search_runs([experiment.experiment_id])
    assert kept.info.run_id == number
    assert kept.info.status == "FINISHED"
    assert kept.data.params["generator.qubits"] == "2"
    history = client.get_metric_history(number, "critic_loss")
    assert {m.step: m.value for m in history} == pytest.approx(told(tmp_path / "run"))
    pictures = [file.path for file in client.list_artifacts(number, "images")]
    assert any("samples" in path and path.endswith(".png") for path in pictures)


def test_wandb_offline_goes_on_in_one_run_in_the_run_folder(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    trained(tmp_path / "run", "wandb")
    name = json.loads((tmp_path / "run" / "trackers.json").read_text())["wandb"]
    time.sleep(1.0)  # W&B names its folders by the second: two of one second are one
    trained(tmp_path / "run", "wandb", kimg=0.096)
    folders = sorted((tmp_path / "run" / "wandb").glob("offline-run-*"))
    assert {folder.name.rpartition("-")[2] for folder in folders} == {name}
    rows = [row for folder in folders for row in history(folder / f"run-{name}.wandb")]
    read = {row["images_seen"]: row["critic_loss"] for row in rows if "critic_loss" in row}
    assert read == pytest.approx(told(tmp_path / "run"))
    assert list(tmp_path.glob("run/wandb/*/files/media/images/samples_*.png"))


def history(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file that W&B wrote: protocol buffers in the log format of LevelDB."""
    from wandb.proto import wandb_internal_pb2

    content, at, kept = file.read_bytes(), HEADER, b""
    while at + FRAME <= len(content):
        if BLOCK - at % BLOCK < FRAME:  # the rest of a block, too short for another frame
            at += BLOCK - at % BLOCK
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + FRAME])
        kept += content[at + FRAME : at + FRAME + length]
        at += FRAME + length
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(kept)
            kept = b""
            if record.HasField("history"):
                items = record.history.item
                yield {i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in items}


def test_trackers_change_nothing_and_may_come_and_go(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    trained(tmp_path / "plain", "", kimg=0.096)
    trained(tmp_path / "told", "tensorboard")
    trained(tmp_path / "told", "", kimg=0.096)
    assert weights(tmp_path / "told") == {
        **weights(tmp_path / "plain"),
        **{k: v for k, v in weights(tmp_path / "told").items() if k == "snapshot-00.048"},
    }
    assert metrics(tmp_path / "told") == metrics(tmp_path / "plain")


@pytest.mark.parametrize("fails", ["opening", "telling", "closing"])
def test_a_tracker_that_fails_costs_a_line_and_not_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    calls = []

    @contextmanager
    def broken(job: loggers.Job) -> Iterator[loggers.Log]:
        if fails == "opening":
            raise ConnectionError("no route to host\nmore of it")

        def log(values: object, images_seen: int) -> None:
            calls.append(images_seen)
            if fails == "telling":
                raise ConnectionError("no route to host")

        yield log
        if fails == "closing":
            raise ConnectionError("no route to host")

    monkeypatch.setitem(loggers.ADAPTERS, "mlflow", broken)
    monkeypatch.setattr(loggers, "require_loggers", lambda names: None)
    said = trained(tmp_path / "run", "mlflow")
    warnings = [line for line in said if line.startswith("warning: mlflow")]
    assert warnings == [
        "warning: mlflow is given up (no route to host); the training goes on without it"
    ]
    assert len(calls) == {"opening": 0, "telling": 1, "closing": 3}[fails]
    assert len(told(tmp_path / "run")) == 2


def test_a_server_that_is_down_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    said = trained(tmp_path / "run", "mlflow")
    assert [line for line in said if "mlflow is given up" in line]
    assert (tmp_path / "run" / "snapshot-00.048").is_dir()


def test_without_an_account_wandb_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    said = trained(tmp_path / "run", "wandb")
    assert [line for line in said if "wandb is given up" in line]


def test_an_absent_package_is_named_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"--logger wandb needs .*'hqgan\[loggers\]'"):
        train(tiny_config(0.05, "loggers=[wandb]"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_trackers_none_is_imported_and_no_file_is_written(tmp_path: Path) -> None:
    trained(tmp_path / "run", "")
    assert not (tmp_path / "run" / "trackers.json").exists()
    with tracking(tiny_config(), tmp_path, 0, print) as log:
        log({"loss": 1.0}, 8)
    assert list(tmp_path.iterdir()) == [tmp_path / "run"]
