"""One step: the clock, the average, the class mix, the two learning rates, every preset."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hqgan.config import load_config
from hqgan.errors import DataError, UsageError
from hqgan.quantum import QuantumLayer
from hqgan.schema import Config
from hqgan.training import load_state, train
from hqgan.training.adversarial import AdversarialTrainer
from hqgan.training.clock import Pace
from hqgan.training.fabric import make_fabric
from hqgan.training.loop import crossed, make_trainer, marks
from hqgan.training.trainer import split_circuit_parameters, step_generator
from small_runs import SIZE, same, tiny_config, tiny_dataset

AVERAGE_TOLERANCE = 1e-6
CODE_TOLERANCE = 1e-4  # of components there and back, in float32


def preset_config(preset: str, kimg: float, *assignments: str) -> Config:
    flags = {"data.path": "embedded", "size": SIZE, "kimg": kimg}
    fixed = {"device": "cpu", "precision": "float32"}
    return load_config(preset, overrides=flags | fixed, assignments=assignments)


def trainer(config: Config, **counts: tuple[int, ...]) -> AdversarialTrainer:
    return AdversarialTrainer(config, tiny_dataset(**counts), make_fabric("cpu", "float32"))


def test_the_same_seed_and_clock_make_the_same_step() -> None:
    config = tiny_config()
    one, other = trainer(config), trainer(config)
    assert one.step(8) == other.step(8)
    assert same(one.generator, other.generator)
    assert same(one.critic, other.critic)


def test_every_step_of_every_process_draws_numbers_of_its_own() -> None:
    places = [(0, 0, 8), (0, 0, 16), (0, 1, 8), (1, 0, 8)]  # seed, rank, images seen
    draws = [torch.rand(2, generator=step_generator(*place)) for place in places]
    assert len({tuple(draw.tolist()) for draw in draws}) == len(places)
    assert torch.equal(torch.rand(2, generator=step_generator(*places[0])), draws[0])


@pytest.mark.parametrize("steps", [1, 3])
def test_half_of_the_average_is_forgotten_in_a_half_life(steps: int) -> None:
    """A half-life is measured in images seen, of which each critic step shows a batch."""
    kimg = 0.048
    config = tiny_config(0.1, f"generator_training.ema_kimg={kimg}", f"critic.steps={steps}")
    model = trainer(config)
    for mean, value in zip(model.average.parameters(), model.generator.parameters(), strict=True):
        mean.zero_()
        value.data.fill_(1.0)
    for _ in range(round(1000 * kimg / (config.batch * steps))):
        model.update_average(images_seen=10**6)
    for mean in model.average.parameters():
        torch.testing.assert_close(mean, torch.full_like(mean, 0.5), atol=AVERAGE_TOLERANCE, rtol=0)


@pytest.mark.parametrize(("ema_kimg", "images_seen"), [(0, 10**6), (5, 0)])
def test_without_a_half_life_or_at_the_start_the_average_is_the_generator(
    ema_kimg: float, images_seen: int
) -> None:
    model = trainer(tiny_config(0.1, f"generator_training.ema_kimg={ema_kimg}"))
    for value in model.generator.parameters():
        value.data.normal_()
    model.update_average(images_seen)
    assert same(model.average, model.generator)


def test_running_statistics_are_copied_into_the_average() -> None:
    model = trainer(tiny_config())
    model.step(10**6)
    for name, value in model.generator.named_buffers():
        assert torch.equal(model.average.get_buffer(name), value)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_balance_goes_from_natural_to_equal_class_frequencies(balance: float) -> None:
    counts = (64, 16, 4)
    model = trainer(tiny_config(0.1, f"data.balance={balance}"), counts=counts)
    rng = torch.Generator().manual_seed(0)
    shown = np.zeros(3)
    for _ in range(500):
        _, y = model.draw(rng)
        shown += np.bincount(y.numpy(), minlength=3)
    expected = np.array(counts, float) ** (1 - balance)
    expected /= expected.sum()
    deviation = np.sqrt(expected * (1 - expected) / shown.sum())
    assert np.all(np.abs(shown / shown.sum() - expected) < 4 * deviation)


def test_images_keep_their_labels() -> None:
    model = trainer(tiny_config())
    known = {
        x.tobytes(): y for x, y in zip(model.dataset.images, model.dataset.labels, strict=True)
    }
    images, labels = model.draw(torch.Generator().manual_seed(0))
    pixels = ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    assert [known[x.tobytes()] for x in pixels] == labels.tolist()


def test_circuits_learn_at_their_own_rate() -> None:
    settings = ("learning_rate=1e-9", "circuit_learning_rate=0.01")
    model = trainer(tiny_config(0.1, *(f"generator_training.{s}" for s in settings)))
    plain, circuits = split_circuit_parameters(model.generator)
    weights = [m.weight for m in model.generator.modules() if isinstance(m, QuantumLayer)]
    assert [id(p) for p in circuits] == [id(p) for p in weights]
    assert len(plain) + len(circuits) == len(list(model.generator.parameters()))
    groups = model.generator_optimiser.param_groups
    assert [(len(g["params"]), g["lr"]) for g in groups] == [
        (len(plain), 1e-9),
        (len(circuits), 0.01),
    ]
    before = [p.detach().clone() for p in circuits]
    model.step(0)
    moved = [(p - old).abs().max().item() for p, old in zip(circuits, before, strict=True)]
    assert moved == pytest.approx([0.01], rel=0.01)  # Adam's first step is the learning rate


def test_the_clock_counts_the_images_of_all_critic_steps(tmp_path: Path) -> None:
    model = trainer(tiny_config(0.1, "critic.steps=3"))
    logs = [model.step(8 * k) for k in range(6)]
    assert ["generator_loss" in log for log in logs] == [False, False, True] * 2
    assert (model.critic_steps, model.images_generated) == (6, 48)
    assert train(tiny_config(0.048, "critic.steps=3"), tmp_path, tiny_dataset()).images_seen == 48


def test_the_generator_stands_still_between_its_steps() -> None:
    model = trainer(tiny_config(0.1, "critic.steps=2"))
    before = [p.detach().clone() for p in model.generator.parameters()]
    model.step(0)
    assert all(
        torch.equal(p, old) for p, old in zip(model.generator.parameters(), before, strict=True)
    )
    model.step(8)
    assert any(
        not torch.equal(p, old) for p, old in zip(model.generator.parameters(), before, strict=True)
    )


def test_lazy_r1_is_taken_every_nth_critic_step() -> None:
    model = trainer(tiny_config(0.1, "loss.r1_every=3"))
    assert ["r1_penalty" in model.step(8 * k) for k in range(5)] == [
        True,
        False,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("loss", ["hinge", "wgan-gp", "non-saturating", "bce"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_every_loss_trains_in_both_precisions(loss: str, precision: str) -> None:
    config = tiny_config(0.1, f"loss.name={loss}")
    model = AdversarialTrainer(config, tiny_dataset(), make_fabric("cpu", precision))
    logs = [model.step(8 * k) for k in range(2)]
    assert all(np.isfinite(list(log.values())).all() for log in logs)


def test_images_a_model_prepares_itself_on_are_on_the_clock(tmp_path: Path) -> None:
    config = preset_config("mosaiq", 0.1, "generator.components=5", "batch=8")
    dataset = tiny_dataset()
    result = train(config, tmp_path, dataset)
    assert result.images_seen >= 100
    steps = (result.images_seen - len(dataset)) / config.batch
    state = load_state(tmp_path)
    assert state is not None
    assert state["trainer"]["critic_steps"] == steps


def test_too_little_for_what_a_model_does_beforehand_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mosaiq needs at least 41 training images.* has 20"):
        train(preset_config("mosaiq", 1), tmp_path / "a", tiny_dataset())
    few = preset_config("mosaiq", 0.02, "generator.components=5")
    with pytest.raises(UsageError, match=r"kimg is 0.02, but mosaiq looks at 20 images before"):
        train(few, tmp_path / "b", tiny_dataset())


def test_codes_and_images_are_judged_alike() -> None:
    """MosaiQ's critic sees components: of a real image, and of a fake that was never decoded."""
    config = preset_config("mosaiq", 1, "generator.components=5", "augmentation.strength=0")
    model = AdversarialTrainer(config, tiny_dataset(), make_fabric("cpu", "float32"))
    model.prepare()
    rng = torch.Generator().manual_seed(0)
    code = model.generator.code(model.generator.sample_z(4, rng), torch.tensor([0, 1, 2, 0]))
    assert model.shown(code, rng) is code
    kit = preset_config("mosaiq+kit", 1, "generator.components=5")
    model = AdversarialTrainer(kit, tiny_dataset(), make_fabric("cpu", "float32"))
    model.prepare()
    model.augmented = lambda images, rng: images
    torch.testing.assert_close(model.shown(code, rng), code, atol=CODE_TOLERANCE, rtol=0)


def test_a_budget_of_seconds_ends_a_run_early_and_a_larger_one_continues_it(
    tmp_path: Path,
) -> None:
    """Each step takes longer than a budget of nothing, so that many budgets are as many steps."""
    config = tiny_config(kimg=1000)
    first = train(config, tmp_path, tiny_dataset(), budget=1e-9)
    assert first.images_seen == config.batch
    assert first.snapshot.endswith(f"{config.batch / 1000:06g}")
    again = train(config, tmp_path, tiny_dataset(), budget=1e-9)
    assert again.images_seen == config.batch
    state = load_state(tmp_path)
    assert state is not None
    further = train(config, tmp_path, tiny_dataset(), budget=state["seconds"] + 1e-9)
    assert further.images_seen == 2 * config.batch


def test_adaptive_augmentation_follows_the_critic_and_is_resumed() -> None:
    narrow = ("generator.channel_cap=8", "critic.channel_cap=8")
    config = preset_config("stylegan2-ada", 1, *narrow, "augmentation.target=0", "batch=8")
    model = AdversarialTrainer(config, tiny_dataset(), make_fabric("cpu", "float32"))
    model.critic.register_forward_hook(lambda module, inputs, logits: logits + 100)  # all real
    strengths = [model.step(8 * i)["augmentation_strength"] for i in range(9)]
    assert strengths[0] == 0
    assert strengths[-1] == pytest.approx(8 * 8 / 500_000)
    other = AdversarialTrainer(config, tiny_dataset(), make_fabric("cpu", "float32"))
    other.load_state_dict(model.state_dict())
    assert other.adaptive.strength == model.adaptive.strength > 0


def test_plain_gradient_descent_is_an_optimiser_too() -> None:
    config = tiny_config(
        0.1, "critic.optimiser=sgd", "critic.betas=null", "critic.learning_rate=0.5"
    )
    model = trainer(config)
    before = {name: p.detach().clone() for name, p in model.critic.named_parameters()}
    gradients: dict[str, torch.Tensor] = {}
    for name, p in model.critic.named_parameters():
        p.register_post_accumulate_grad_hook(
            lambda p, name=name: gradients.__setitem__(name, p.grad.clone())
        )
    model.step(8)
    name = "logit.weight"
    expected = before[name] - 0.5 * gradients[name]
    torch.testing.assert_close(model.critic.get_parameter(name).detach(), expected)


def test_a_critic_with_a_second_task_learns_it_beside_the_first() -> None:
    narrow = ("generator.width_cap=8", "critic.width_cap=8", "batch=8")
    config = preset_config("fastgan", 1, *narrow)
    logs = AdversarialTrainer(config, tiny_dataset(), make_fabric("cpu", "float32")).step(8)
    assert logs["auxiliary_loss"] > 0


def test_a_diffusion_model_logs_its_loss_and_no_critic() -> None:
    pytest.importorskip("diffusers", reason="the extra `diffusion` is not installed")
    config = preset_config("ddpm", 1, "generator.width=8", "batch=4")
    trainer = make_trainer(config, tiny_dataset(), make_fabric("cpu", "float32"))
    logs = trainer.step(8)
    assert list(logs) == ["denoising_loss"]
    assert logs["denoising_loss"] == pytest.approx(1, abs=0.5)  # noise of variance 1, unlearned
    assert trainer.critic is None


def test_snapshots_fall_on_one_two_five() -> None:
    passed = [m for seen in range(64, 60_000, 64) for m in marks(seen - 64, seen)]
    assert passed == [1, 2, 5, 10, 20, 50]
    assert list(marks(900, 5_100)) == [1, 2, 5]


def test_crossing_is_counted_once() -> None:
    assert [crossed(seen - 8, seen, 20) for seen in range(8, 49, 8)] == [
        False,
        False,
        True,
        False,
        True,
        False,
    ]


def test_the_pace_is_that_of_the_last_steps_without_the_first_which_compiles() -> None:
    pace = Pace()
    pace.add(8, 20.0)
    pace.add(8, 0.5)
    pace.add(8, 0.5)
    assert pace.take() == 16
    pace.add(8, 2.0)
    assert pace.take() == 4
    alone = Pace()
    alone.add(8, 2.0)
    assert alone.take() == 4


def test_an_absent_device_is_refused_with_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"device is 'abacus'.*cpu"):
        make_fabric("abacus", "float32")
