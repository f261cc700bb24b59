"""The run folder refuses what it must not touch, and leaves it as it was."""

import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from hqgan.config import to_yaml
from hqgan.errors import HqganError, RunError, UsageError
from hqgan.quantum import layer
from hqgan.training import Callbacks, RunFolder, loop, train
from hqgan.training.adversarial import AdversarialTrainer
from hqgan.training.runs import acquire, read_records, write_atomically
from small_images import write_picture
from small_runs import NARROW, fingerprint, tiny_config, tiny_dataset

KIMG = 0.016


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "finished"
    train(tiny_config(KIMG), run, tiny_dataset())
    return run


def refused(run: Path, kind: type[HqganError], message: str, *changes: str, **named) -> None:
    """Training is refused with the message, and no file has changed."""
    before = fingerprint(run)
    dataset = named.pop("dataset", tiny_dataset())
    with pytest.raises(kind, match=message):
        train(tiny_config(named.pop("kimg", KIMG), *changes, **named), run, dataset)
    assert fingerprint(run) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seed=1", r"seed: 0 -> 1"),
        ("loss.r1_gamma=0.5", r"loss\.r1_gamma: 'auto' -> 0\.5"),
        ("generator.fusion=film", r"generator\.fusion: 'gated' -> 'film'"),
        ("critic.betas=[0.5,0.9]", r"critic\.betas"),
        ("data.balance=1", r"data\.balance: 0\.5 -> 1\.0"),
        ("precision=bf16", r"precision: 'float32' -> 'bf16'"),
    ],
)
def test_any_other_key_is_refused_by_name(finished: Path, change: str, message: str) -> None:
    refused(finished, UsageError, message, change, kimg=2 * KIMG)
    assert UsageError.exit_code == 2


def test_other_data_are_refused(finished: Path) -> None:
    other = tiny_dataset(counts=(10, 5, 5))
    refused(finished, RunError, "other data", dataset=other, kimg=2 * KIMG)


def test_a_smaller_kimg_is_refused(finished: Path) -> None:
    refused(finished, UsageError, "already seen 16 images", kimg=KIMG / 2)


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    refused(tmp_path, RunError, r"not a run of hqgan \(it holds 'thesis.tex'\)")
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(RunError, match="is a file"):
        train(tiny_config(KIMG), tmp_path / "out", tiny_dataset())


def test_a_run_killed_before_its_first_file_may_begin_again(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / "config.yaml.part").write_text("pres")
    assert train(tiny_config(KIMG), tmp_path, tiny_dataset()).images_seen == 16


def test_a_refused_run_leaves_its_folder_as_it_was(tmp_path: Path) -> None:
    config = tiny_config(KIMG, f"init.run={tmp_path}")
    for folder in (tmp_path / "new", tmp_path / "empty"):
        there = folder.name == "empty"
        if there:
            folder.mkdir()
        with pytest.raises(RunError, match="no snapshot"):
            train(config, folder, tiny_dataset())
        assert folder.exists() == there
        assert not there or not list(folder.iterdir())


def test_a_damaged_state_is_named_with_the_remedy(tmp_path: Path) -> None:
    train(tiny_config(KIMG), tmp_path, tiny_dataset())
    state = tmp_path / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    refused(tmp_path, RunError, r"state\.pt is damaged.*; delete it", kimg=2 * KIMG)


@pytest.mark.parametrize("content", [[1, 2], {"images_seen": 16}, {"trainer": {"critic": 1}}])
def test_a_state_of_something_else_is_called_damaged(
    finished: Path, tmp_path: Path, content: object
) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    torch.save(content, run / "state.pt")
    refused(run, RunError, r"state\.pt is damaged, or was not saved by this run", kimg=2 * KIMG)


def test_a_state_whose_tensors_do_not_fit_is_called_damaged(finished: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    state = torch.load(run / "state.pt", weights_only=True)
    state["trainer"]["critic"] = {k: v[:1] for k, v in state["trainer"]["critic"].items()}
    torch.save(state, run / "state.pt")
    refused(run, RunError, r"state\.pt is damaged", kimg=2 * KIMG)


def test_lines_of_metrics_that_are_none_are_dropped(finished: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    (run / "metrics.jsonl").write_bytes(b'{"images_seen": 8}\n{"a": 1}\n[3]\n\xff\n')
    train(tiny_config(KIMG), run, tiny_dataset())
    assert (run / "metrics.jsonl").read_text() == '{"images_seen": 8}\n'


def test_another_configuration_is_refused_before_the_data_are_opened(finished: Path) -> None:
    absent = tiny_config(KIMG, "seed=1", data="nowhere")
    with pytest.raises(UsageError, match="seed: 0 -> 1"):
        train(absent, finished)


def test_circuits_that_fit_no_memory_are_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer, "_memory", lambda device: 2**16)
    monkeypatch.setattr(layer, "WORTH_CHECKING", 0)
    with pytest.raises(UsageError, match=r"cannot be simulated: .* use fewer qubits"):
        train(tiny_config(KIMG, "generator.qubits=8"), tmp_path / "run", tiny_dataset())


def test_a_damaged_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("preset: [")
    refused(tmp_path, UsageError, r"config\.yaml is not valid YAML")
    (tmp_path / "config.yaml").write_text(to_yaml(tiny_config()) + "later: 1\n")
    refused(tmp_path, UsageError, r"config\.yaml is of another version .* unknown key 'later'")


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    config = tiny_config(KIMG)
    run = RunFolder.open(tmp_path, config)
    refused(tmp_path, RunError, "another process is training in")
    run.close()
    RunFolder.open(tmp_path, config).close()


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    hold = (
        "import sys; from pathlib import Path; from hqgan.training.runs import acquire; "
        "lock = acquire(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    lock = tmp_path / ".lock"
    with subprocess.Popen([sys.executable, "-c", hold, lock], **pipes) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match="another process"):
            acquire(lock)
        process.kill()
    acquire(lock).close()


def test_failed_data_leave_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(HqganError, match="fewer than one batch"):
        train(tiny_config(KIMG), tmp_path / "run", tiny_dataset(counts=(2, 2, 2)))
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_explained_and_the_saved_state_survives(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk: the same error from the same calls."""
    run, config = tmp_path / "run", tiny_config(4 * KIMG)
    train(tiny_config(KIMG), run, tiny_dataset())
    state = (run / "state.pt").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(RunError, match=r"cannot read or write the run folder .* same command"):
            train(config, run, tiny_dataset())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (run / "state.pt").read_bytes() == state
    assert train(config, run, tiny_dataset()).images_seen == 64


def test_the_configuration_is_written_resolved(finished: Path) -> None:
    text = (finished / "config.yaml").read_text()
    assert "device: cpu" in text
    assert "qubits: 2" in text
    assert all(a.partition("=")[0].split(".")[-1] + ":" in text for a in NARROW)


def test_images_left_out_are_named(tmp_path: Path) -> None:
    """No silent drop: who trains on fewer images than the folder holds is told so."""
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            for number in range(4):
                write_picture(tmp_path / "data" / split / name / f"{number}.png", seed=number)
    (tmp_path / "data" / "train" / "a" / "broken.png").write_bytes(b"no image")
    messages: list[str] = []
    config = tiny_config(0.004, data=tmp_path / "data", batch=4)
    train(config, tmp_path / "run", callbacks=Callbacks(message=messages.append))
    (left_out,) = [text for text in messages if "left out" in text]
    assert "broken.png" in left_out


@pytest.mark.parametrize(
    "line", ['{"images_seen": Infinity}', '{"images_seen": "2"}', "[" * 99_999]
)
def test_a_line_without_a_number_of_images_ends_the_metrics(tmp_path: Path, line: str) -> None:
    (tmp_path / "metrics.jsonl").write_text(f'{{"images_seen": 1}}\n{line}\n')
    assert [one["images_seen"] for one in read_records(tmp_path / "metrics.jsonl")] == [1]


def test_writing_follows_no_link_that_lies_in_its_way(tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("years")
    (tmp_path / "page.part").symlink_to(tmp_path / "thesis")
    write_atomically(tmp_path / "page", b"new")
    assert (tmp_path / "thesis").read_text() == "years"
    assert (tmp_path / "page").read_bytes() == b"new"


def test_what_the_data_warn_of_is_said_as_a_warning(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(12):
            write_picture(tmp_path / "data" / name / f"{number}.png", seed=number)
    messages: list[str] = []
    config = tiny_config(0.004, data=tmp_path / "data", batch=4)
    train(config, tmp_path / "run", callbacks=Callbacks(message=messages.append))
    assert any(text.startswith("warning: No lesion ids are known") for text in messages)


def test_the_time_left_is_told_by_the_last_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first step of 20 seconds, which compiles, made minutes look like an hour."""
    step, slept = AdversarialTrainer.step, []

    def slow_at_first(self: AdversarialTrainer, images_seen: int) -> dict[str, float]:
        if not slept:
            slept.append(time.sleep(3))
        return step(self, images_seen)

    monkeypatch.setattr(AdversarialTrainer, "step", slow_at_first)
    monkeypatch.setattr(loop, "LOG_EVERY", 24)
    begun: list[tuple[int, int]] = []
    tell = Callbacks(stage=lambda name, done, total: begun.append((done, total)))
    train(tiny_config(0.048), tmp_path / "run", tiny_dataset(), tell)
    first, second = read_records(tmp_path / "run" / "metrics.jsonl")
    assert first["seconds"] > 3
    assert first["images_per_second"] > 1.5 * first["images_seen"] / first["seconds"]
    assert second["images_per_second"] > 0
    assert begun == [(0, 48)]
    train(tiny_config(0.064), tmp_path / "run", tiny_dataset(), tell)
    assert begun == [(0, 48), (48, 64)]
