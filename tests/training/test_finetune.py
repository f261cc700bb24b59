"""A run that starts from another: what is taken, what stays frozen, what is refused."""

from pathlib import Path

import pytest
import torch
from torch import nn

from hqgan.config import load_config
from hqgan.errors import RunError, UsageError
from hqgan.models import load_snapshot
from hqgan.schema import Init
from hqgan.training import Callbacks, Interrupted, load_state, train
from hqgan.training.adversarial import AdversarialTrainer
from hqgan.training.fabric import make_fabric
from hqgan.training.finetune import class_origins, start_from
from small_runs import same, tiny_config, tiny_dataset, weights

NEW = ("akiec", "mel", "naevus", "scc")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("source") / "run"
    train(tiny_config(0.016), run, tiny_dataset())
    return run


def new_data(classes: tuple[str, ...] = NEW):
    return tiny_dataset(counts=(5,) * len(classes), classes=classes)


def started(
    source: Path, classes: tuple[str, ...], *changes: str
) -> tuple[AdversarialTrainer, str]:
    config = tiny_config(0.016, f"init.run={source}", *changes)
    trainer = AdversarialTrainer(config, new_data(classes), make_fabric("cpu", "float32"))
    return trainer, start_from(source, trainer, config.init)


def test_classes_start_from_their_name_their_map_or_the_mean() -> None:
    init = Init(run=".", label_map={"naevus": "nv"})
    assert class_origins(NEW, ("bkl", "mel", "nv"), init) == [None, 1, 2, None]


def test_embeddings_are_filled_class_by_class_and_the_rest_is_taken_over(source: Path) -> None:
    trainer, said = started(source, NEW, "init.label_map={naevus: nv}")
    assert "2 of 4 classes are known" in said
    old, _ = load_snapshot(source)
    critic = load_state(source)["trainer"]["critic"]
    for ours, theirs in (
        (trainer.generator.encoder.embedding.weight, old.encoder.embedding.weight),
        (trainer.critic.embedding.weight, critic["embedding.weight"]),
    ):
        mean = theirs.mean(0)
        expected = torch.stack([mean, theirs[1], theirs[2], mean])
        torch.testing.assert_close(ours.detach(), expected)
    taken = dict(trainer.generator.named_parameters())
    for name, value in old.named_parameters():
        if name != "encoder.embedding.weight":
            assert torch.equal(taken[name], value), name
    assert same(trainer.average, trainer.generator)
    assert torch.equal(trainer.critic.dense.weight, critic["dense.weight"])


def test_equally_many_classes_in_another_order_find_their_own_rows(source: Path) -> None:
    trainer, _ = started(source, ("mel", "nv", "bkl"))
    old = load_snapshot(source)[0].encoder.embedding.weight
    assert torch.equal(trainer.generator.encoder.embedding.weight, old[[1, 2, 0]])


def test_tables_that_are_no_embeddings_are_filled_too(tmp_path: Path) -> None:
    """mediq-v2 keeps one prototype a class as a bare parameter."""
    flags = {"data.path": "embedded", "size": 32, "batch": 2, "kimg": 0.002, "device": "cpu"}
    quick = ["critic.steps=1", "precision=float32"]
    train(load_config("mediq-v2", overrides=flags, assignments=quick), tmp_path, tiny_dataset())
    config = load_config("mediq-v2", overrides={**flags, "init.run": str(tmp_path)})
    trainer = AdversarialTrainer(config, new_data(), make_fabric("cpu", "float32"))
    start_from(tmp_path, trainer, config.init)
    old, new = load_snapshot(tmp_path)[0].state_dict(), trainer.generator.state_dict()
    (table,) = [name for name in old if name.endswith("prototypes")]
    torch.testing.assert_close(new[table][0], old[table].mean(0))
    torch.testing.assert_close(new[table][1], old[table][1])


def test_frozen_convolutions_stay_and_the_others_learn_also_after_a_stop(
    source: Path, tmp_path: Path
) -> None:
    config = tiny_config(0.032, f"init.run={source}", "init.freeze_critic=2")
    whole, run = tmp_path / "whole", tmp_path / "run"
    train(config, whole, new_data())
    messages: list[str] = []
    half = tiny_config(0.016, f"init.run={source}", "init.freeze_critic=2")
    train(half, run, new_data(), Callbacks(message=messages.append))
    assert "starting from" in messages[0]
    train(config, run, new_data(), Callbacks(message=messages.append))
    assert "training hybridq at 32 px on" in messages[1]
    assert "continuing" in messages[2]
    assert weights(run)["snapshot-00.032"] == weights(whole)["snapshot-00.032"]
    before = load_state(source)["trainer"]["critic"]
    after = load_state(run)["trainer"]["critic"]
    trainer = AdversarialTrainer(config, new_data(), make_fabric("cpu", "float32"))
    names = [n for n, m in trainer.critic.named_modules() if isinstance(m, nn.Conv2d)]
    moved = [not torch.equal(before[f"{n}.weight"], after[f"{n}.weight"]) for n in names]
    assert moved == [False, False] + [True] * (len(names) - 2)


def test_a_snapshot_without_a_state_brings_a_new_critic(source: Path) -> None:
    trainer, said = started(source / "snapshot-00.016", NEW)
    assert "a new critic" in said
    critic = load_state(source)["trainer"]["critic"]
    assert not torch.equal(trainer.critic.dense.weight, critic["dense.weight"])


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ("generator.qubits=3", RunError, r"is \(.*\) in .* but \(.*\) here"),
        ("generator.fusion=film", RunError, "use the same preset and options"),
        ("critic.width=16", RunError, "use the same preset and options"),
        ("size=64", RunError, r"holds a hybridq of 32 px.*--size"),
        ("init.label_map={naevi: nv}", UsageError, "'naevi'.*akiec, mel, naevus, scc"),
        ("init.label_map={naevus: nev}", UsageError, "'nev'.*bkl, mel, nv"),
        ("init.freeze_critic=50", UsageError, "freeze_critic is 50, but the critic has"),
    ],
)
def test_what_does_not_fit_is_refused_and_may_be_mended_in_the_same_folder(
    source: Path, tmp_path: Path, change: str, kind: type[Exception], message: str
) -> None:
    run, config = tmp_path / "run", tiny_config(0.008, f"init.run={source}", change)
    with pytest.raises(kind, match=message):
        train(config, run, new_data())
    assert not run.exists()


def test_an_absent_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="does not exist"):
        train(tiny_config(0.008, f"init.run={tmp_path / 'no'}"), tmp_path / "run", new_data())


def test_the_interrupt_is_an_error_with_the_code_of_the_shell() -> None:
    assert Interrupted.exit_code == 130
