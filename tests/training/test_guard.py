"""The guard stops what has collapsed or diverged, and warns of a critic that does not learn."""

from pathlib import Path

import pytest
import torch

from hqgan.data import Dataset
from hqgan.errors import TrainingStopped
from hqgan.models import load_snapshot
from hqgan.training import Callbacks, load_state, loop, train
from hqgan.training.adversarial import AdversarialTrainer
from hqgan.training.guard import COLLAPSE_PATIENCE, UNINFORMED_PATIENCE, WARM_UP, Guard
from hqgan.training.losses import NO_INFORMATION
from small_runs import fingerprint, metrics, tiny_config, tiny_dataset


def record(kimg: float, diversity: float = 1.0, critic_loss: float = 1.0) -> dict[str, float]:
    return {"images_seen": 1000 * kimg, "diversity": diversity, "critic_loss": critic_loss}


def test_collapse_stops_after_its_patience_and_not_before() -> None:
    guard, start = Guard("hinge"), WARM_UP + 1
    for kimg in range(start, start + COLLAPSE_PATIENCE - 1):
        assert guard.check(record(kimg, diversity=0.01)) is None
    with pytest.raises(TrainingStopped, match=r"collapsed.*last good snapshot is kept"):
        guard.check(record(start + COLLAPSE_PATIENCE, diversity=0.01))


def test_a_moment_of_variety_starts_the_count_again() -> None:
    guard = Guard("hinge")
    for kimg in range(3, 3 + 3 * COLLAPSE_PATIENCE):
        guard.check(record(kimg, diversity=1.0 if kimg % COLLAPSE_PATIENCE == 0 else 0.01))


def test_the_warm_up_may_look_collapsed() -> None:
    guard = Guard("hinge")
    for _ in range(2 * COLLAPSE_PATIENCE):
        guard.check(record(WARM_UP, diversity=0.0))


@pytest.mark.parametrize("loss", sorted(NO_INFORMATION))
def test_an_uninformed_critic_is_warned_of_each_time_its_patience_ends(loss: str) -> None:
    guard, value = Guard(loss), NO_INFORMATION[loss]
    warnings = [guard.check(record(k, critic_loss=1.001 * value)) for k in range(1, 61)]
    said = [kimg for kimg, warning in enumerate(warnings, start=1) if warning]
    assert said == [UNINFORMED_PATIENCE, 2 * UNINFORMED_PATIENCE, 3 * UNINFORMED_PATIENCE]
    assert "no-information" in (warnings[UNINFORMED_PATIENCE - 1] or "")
    assert "r1_gamma" in (warnings[UNINFORMED_PATIENCE - 1] or "")


def test_a_learning_critic_and_a_wasserstein_one_are_not_warned_of() -> None:
    learning, wasserstein = Guard("hinge"), Guard("wgan-gp")
    for kimg in range(1, 61):
        assert learning.check(record(kimg, critic_loss=1.9)) is None
        assert wasserstein.check(record(kimg, critic_loss=0.0)) is None


def test_the_counters_survive_a_resume() -> None:
    guard, resumed = Guard("hinge"), Guard("hinge")
    for kimg in range(3, 3 + COLLAPSE_PATIENCE - 1):
        guard.check(record(kimg, diversity=0.0, critic_loss=2.0))
    resumed.load_state_dict(guard.state_dict())
    with pytest.raises(TrainingStopped):
        resumed.check(record(20, diversity=0.0))


def poison(trainer: AdversarialTrainer) -> None:
    with torch.no_grad():
        next(trainer.critic.parameters()).fill_(float("nan"))


def test_nan_stops_with_the_remedy_and_keeps_the_last_good_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = AdversarialTrainer.advance

    def diverging(trainer: AdversarialTrainer, images_seen: int) -> dict[str, float]:
        if images_seen == 40:
            poison(trainer)
        return step(trainer, images_seen)

    monkeypatch.setattr(AdversarialTrainer, "advance", diverging)
    with pytest.raises(TrainingStopped, match=r"diverged: .* after 40 images.*learning_rate"):
        train(tiny_config(0.08), tmp_path, tiny_dataset())
    state = load_state(tmp_path)
    assert state is not None
    assert state["images_seen"] == 32
    assert all(torch.isfinite(v).all() for v in state["trainer"]["critic"].values())


def test_a_weight_that_diverged_in_the_last_step_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its losses were still numbers."""
    step = AdversarialTrainer.advance

    def diverging(trainer: AdversarialTrainer, images_seen: int) -> dict[str, float]:
        logs = step(trainer, images_seen)
        if images_seen == 72:
            poison(trainer)
        return logs

    monkeypatch.setattr(AdversarialTrainer, "advance", diverging)
    with pytest.raises(TrainingStopped, match="after 80 images"):
        train(tiny_config(0.08), tmp_path, tiny_dataset())
    assert load_state(tmp_path)["images_seen"] == 64
    assert not list(tmp_path.glob("snapshot-*"))


def test_a_diverged_circuit_stops_in_the_same_words(tmp_path: Path) -> None:
    """A quantum layer refuses angles that are no numbers with an error of its own."""
    with pytest.raises(TrainingStopped, match="diverged"):
        train(tiny_config(0.2, "generator_training.learning_rate=1e30"), tmp_path, tiny_dataset())


def test_collapse_in_a_run_stops_it_and_the_last_line_shows_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 16)
    monkeypatch.setattr("hqgan.training.guard.WARM_UP", 0)
    step = AdversarialTrainer.step

    def collapsed(trainer: AdversarialTrainer, images_seen: int) -> dict[str, float]:
        return step(trainer, images_seen) | {"diversity": 0.0}

    monkeypatch.setattr(AdversarialTrainer, "step", collapsed)
    with pytest.raises(TrainingStopped, match="collapsed"):
        train(tiny_config(0.2), tmp_path, tiny_dataset())
    lines = metrics(tmp_path)
    assert len(lines) == COLLAPSE_PATIENCE
    assert lines[-1]["diversity"] == 0.0
    assert load_state(tmp_path)["images_seen"] <= lines[-1]["images_seen"]


def test_a_stopped_run_keeps_its_snapshot(tmp_path: Path) -> None:
    train(tiny_config(0.016), tmp_path, tiny_dataset())
    (tmp_path / "state.pt").rename(tmp_path / "state")
    state = torch.load(tmp_path / "state", weights_only=True)
    state["trainer"]["critic"]["logit.bias"].fill_(float("inf"))
    torch.save(state, tmp_path / "state.pt")
    (tmp_path / "state").unlink()
    before = fingerprint(tmp_path / "snapshot-00.016")
    with pytest.raises(TrainingStopped, match="diverged"):
        train(tiny_config(0.08), tmp_path, tiny_dataset())
    assert fingerprint(tmp_path / "snapshot-00.016") == before
    load_snapshot(tmp_path)


def test_a_batch_of_one_picture_does_not_stop_the_run(tmp_path: Path) -> None:
    """Drawn with replacement, a batch of 2 often holds the same image twice."""
    data = tiny_dataset(counts=(1, 1, 1))
    equal = Dataset(
        data.images[:1].repeat(3, 0), data.labels, data.classes, data.groups, data.ids, "train"
    )
    config = tiny_config(0.008, "augmentation.flips=false", batch=2)
    assert train(config, tmp_path, equal, Callbacks()).images_seen == 8
