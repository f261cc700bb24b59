"""Copies are found, sane generators pass, and where nothing can be seen the verdict says so."""

import io
from itertools import combinations

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from hqgan.data import Dataset, lesions, to_float, to_uint8
from hqgan.evaluation import Extractor, load_extractor
from hqgan.evaluation.copying import COPIES, LEVEL, NO_SIGN, TOO_FEW, Space, judge, planted_copies
from hqgan.evaluation.membership import attack, per_lesion
from hqgan.evaluation.memorisation import Memorisation, examine
from hqgan.evaluation.nearest import nearest_pixels
from hqgan.evaluation.relabelling import Pool, Ranking
from hqgan.models import generate
from hqgan.models.registry import build_generator

SIDE = 32
TRAIN, HELD, FAKES = (60, 60, 100, 40), (30, 30, 50, 20), (60, 60, 100, 40)
EXACT = 1e-6  # probabilities in single precision and sums of logarithms
DRAWN_ATOL = 0.02  # means of 1,000 draws
STANDARD_ERRORS = 2.6  # 99.5 % one-sided: a simulation of the level may be this unlucky


def dataset(
    counts: tuple[int, ...], split: str, seed: int = 0, images_a_lesion: int = 1
) -> Dataset:
    images, labels = lesions.generate(counts, SIDE, split=split, seed=seed)
    names = np.array([f"{split}{i}" for i in range(len(labels))])
    groups = np.array([f"{split}{i // images_a_lesion}" for i in range(len(labels))])
    return Dataset(images, labels, lesions.CLASSES, groups, names, split)


@pytest.fixture(scope="module")
def train() -> Dataset:
    return dataset(TRAIN, "train")


@pytest.fixture(scope="module")
def held() -> Dataset:
    return dataset(HELD, "val")


@pytest.fixture(scope="module")
def fresh() -> tuple[np.ndarray, np.ndarray]:
    """What a generator that has learned the distribution itself would make."""
    return lesions.generate(FAKES, SIDE, seed=1)


@pytest.fixture(scope="module")
def tiny() -> Extractor:
    return load_extractor(name="tiny")


def look(images: np.ndarray, labels: np.ndarray, *of: object) -> Memorisation:
    """A fifth of the usual relabellings: p-values from 0.01 up."""
    return examine(images, labels, *of, relabellings=199)


def photocopies(images: np.ndarray, seed: int) -> np.ndarray:
    """Turned, mirrored, and saved as JPEG of middling quality."""
    rng = np.random.default_rng(seed)
    copies = []
    for image in images:
        turned = np.rot90(image, rng.integers(4))
        turned = turned[:, ::-1] if rng.random() < 0.5 else turned
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(turned)).save(file, format="JPEG", quality=75)
        copies.append(np.asarray(Image.open(file)))
    return np.stack(copies)


def replaced(
    fresh: tuple[np.ndarray, np.ndarray], train: Dataset, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The first fresh images replaced by photocopies of these training images."""
    images, labels = (array.copy() for array in fresh)
    images[: len(rows)], labels[: len(rows)] = (
        photocopies(train.images[rows], 0),
        train.labels[rows],
    )
    return images, labels


# ---- generators that words can describe ----


@pytest.fixture(scope="module")
def of_fresh(fresh, train: Dataset, held: Dataset, tiny: Extractor) -> Memorisation:
    return look(*fresh, train, held, tiny)


def test_a_fresh_draw_from_the_same_source_passes(of_fresh: Memorisation) -> None:
    judged = of_fresh.judgement
    assert judged.verdict == NO_SIGN
    assert judged.noticed <= 0.2
    assert judged.power[judged.noticed] >= 0.8
    everyone = [finding for finding in judged.findings if finding.class_name is None]
    assert [finding.space for finding in everyone] == ["pixels", "features"]
    for finding in everyone:
        assert finding.nearer_draws[0] < 0.5 < finding.nearer_draws[1]
        assert 0.95 < finding.distance_ratio < 1.05
    for found in of_fresh.attacks:
        assert found.interval[0] < 0.5 < found.interval[1]


def test_a_generator_of_photocopies_is_flagged_everywhere(
    train: Dataset, held: Dataset, tiny: Extractor
) -> None:
    images = photocopies(train.images, 0)
    found = look(images, train.labels, train, held, tiny)
    assert found.judgement.verdict == COPIES
    pixels = [finding for finding in found.judgement.findings if finding.space == "pixels"]
    assert {finding.class_name for finding in pixels} == {None, *lesions.CLASSES}
    for finding in pixels:
        assert finding.sharp > 0.9
        assert finding.second_ratio < 0.6 * finding.second_ratio_real
        assert finding.distance_ratio < 0.9
    (by_pixels,) = (one for one in found.attacks if one.attack == "distance in pixels")
    assert by_pixels.interval[0] > 0.95


def test_one_copy_in_ten_is_flagged(fresh, train: Dataset, held: Dataset, tiny: Extractor) -> None:
    rows = np.random.default_rng(0).permutation(len(train))[: len(fresh[0]) // 10]
    found = look(*replaced(fresh, train, rows), train, held, tiny)
    assert found.judgement.verdict == COPIES
    assert all(pair.fake < len(rows) for pair in found.pairs[:10])
    assert all(pair.train in rows for pair in found.pairs[:10])


def test_copies_of_three_lesions_only_are_flagged_though_relabelling_cannot_tell(
    fresh, train: Dataset, held: Dataset, tiny: Extractor
) -> None:
    """Three of three on one side is what any labels give in one of eight cases."""
    rows = np.resize([5, 100, 200], 45)
    found = look(*replaced(fresh, train, rows), train, held, tiny).judgement
    assert found.verdict == COPIES
    pixels = found.findings[0]
    assert pixels.sharp_p < LEVEL < pixels.sharpest_p


def test_a_rare_class_that_is_copied_is_named(
    fresh, train: Dataset, held: Dataset, tiny: Extractor
) -> None:
    images, labels = (array.copy() for array in fresh)
    images[labels == 3] = photocopies(train.images[train.labels == 3], 0)
    found = look(images, labels, train, held, tiny).judgement
    accused = {
        finding.class_name
        for finding in found.findings
        if min(finding.nearer_p, finding.sharpest_p or 1, finding.sharp_p) <= LEVEL
    }
    assert found.verdict == COPIES
    assert "vascular" in accused
    assert accused <= {None, "vascular"}


@pytest.mark.parametrize("kind", ["collapsed", "blurred", "noise"])
def test_a_bad_generator_is_not_accused_of_copying(
    kind: str, fresh, train: Dataset, held: Dataset, tiny: Extractor
) -> None:
    images, labels = fresh
    if kind == "collapsed":
        images = np.repeat(images[:1], len(images), axis=0)
    elif kind == "blurred":
        mean = images.mean(axis=(1, 2), keepdims=True)
        images = (0.5 * images + 0.5 * mean).astype(np.uint8)
    else:
        images = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    assert look(images, labels, train, held, tiny).judgement.verdict != COPIES


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_network_trained_until_it_repeats_eight_images_a_class_is_flagged(
    tiny: Extractor,
) -> None:
    """A DCGAN's generator, whose latents are each pulled to the image with the nearest code."""
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    train, held = dataset((8, 8, 8, 8), "train"), dataset((30, 30, 30, 30), "val")
    targets = to_float(train.images)
    network = build_generator("dcgan", classes=4, size=SIDE, z_dim=16)

    def verdict() -> str:
        labels = np.repeat(np.arange(4), 80)
        images = torch.cat(list(generate(network.eval(), labels.tolist(), seed=0)))
        return look(to_uint8(images), labels, train, held, tiny).judgement.verdict

    assert verdict() != COPIES
    network.train()
    codes = network.sample_z(8, rng)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(700):
        z, y = network.sample_z(32, rng), torch.randint(4, (32,), generator=rng)
        wanted = targets[8 * y + torch.cdist(z, codes).argmin(1)]
        optimiser.zero_grad()
        (network(z, y) - wanted).square().mean().backward()
        optimiser.step()
    assert verdict() == COPIES


def test_labels_that_are_shuffled_change_nothing_overall(
    fresh, train: Dataset, held: Dataset, tiny: Extractor
) -> None:
    images, labels = fresh
    shuffled = np.random.default_rng(0).permutation(labels)
    found = [look(images, y, train, held, tiny).judgement for y in (labels, shuffled)]
    assert found[0].findings[0].nearer == found[1].findings[0].nearer
    assert found[1].verdict == NO_SIGN


# ---- too few ----


def test_a_hold_out_of_a_handful_of_lesions_is_too_few_to_tell(
    fresh, train: Dataset, tiny: Extractor
) -> None:
    for counts in ((1, 2, 2, 1), (1, 1, 1, 0)):
        found = look(*fresh, train, dataset(counts, "val"), tiny)
        assert found.judgement.verdict == TOO_FEW
        assert found.judgement.noticed is None
        assert "says nothing" in found.judgement.sentence
    assert "vascular: no lesion held out" in found.as_json()["notes"][0]
    assert len(found.pairs) == 20


def test_classes_with_few_lesions_are_named_and_not_looked_at(
    fresh, train: Dataset, tiny: Extractor
) -> None:
    found = look(*fresh, train, dataset((30, 30, 50, 2), "val"), tiny)
    assert {one.class_name for one in found.judgement.findings} == {None, *lesions.CLASSES[:3]}
    assert found.judgement.left_out == ["vascular: 2 held-out lesions and 40 images, too few"]


# ---- the statistics ----


def pool_of(trained: int, held: int, classes: int = 2) -> Pool:
    """Lesions of one image each, alternating between the classes."""

    def side(count: int, split: str) -> Dataset:
        labels = np.arange(count) % classes
        names = np.array([f"{split}{i}" for i in range(count)])
        images = np.zeros((count, 1, 1, 3), np.uint8)
        return Dataset(images, labels, tuple("abcdef"[:classes]), names, names, split)

    return Pool.of(side(trained, "train"), side(held, "val"), seed=0)


def space_of(name: str, fakes: np.ndarray, planted: np.ndarray, points: np.ndarray, pool: Pool):
    def to(queries: np.ndarray) -> np.ndarray:
        gaps = queries[:, None] - points
        return np.sqrt(np.square(gaps).sum(axis=2)).astype(np.float32)

    return Space(name, to(fakes), to(planted), to(points[pool.held]))


def test_the_chance_is_that_of_all_draws_one_by_one() -> None:
    pool = pool_of(10, 4)
    distances = np.random.default_rng(0).random((30, 14)).astype(np.float32)
    trained = [np.flatnonzero((pool.labels == y) & ~pool.held) for y in (0, 1)]
    held = distances[:, pool.held].min(axis=1)
    nearer = [
        distances[:, [*a, *b]].min(axis=1) < held
        for a in combinations(trained[0], 2)
        for b in combinations(trained[1], 2)
    ]
    ranking = Ranking(distances, pool)
    np.testing.assert_allclose(ranking.chance(pool.held), np.mean(nearer, axis=0), atol=EXACT)
    drawn, ratios = ranking.draws(1000, seed=0)
    np.testing.assert_allclose(drawn.mean(axis=0), np.mean(nearer, axis=0), atol=3 * DRAWN_ATOL)
    assert ((ratios < 1) == (drawn == 1)).all()


def test_over_relabellings_the_share_is_a_half() -> None:
    pool = pool_of(60, 20)
    distances = np.random.default_rng(0).random((40, 80)).astype(np.float32)
    assert Ranking(distances, pool).chances(1000, 0)[1:].mean() == pytest.approx(
        0.5, abs=DRAWN_ATOL
    )


def test_a_lesion_is_as_near_as_the_nearest_of_its_images() -> None:
    train, held = dataset((4, 4, 4, 4), "train", images_a_lesion=2), dataset((2, 2, 2, 2), "val")
    pool = Pool.of(train, held, seed=0)
    both = np.concatenate([train.images, held.images])[pool.rows]
    everything = np.linalg.norm(np.random.default_rng(0).random((3, len(both), 2)), axis=2)
    found = pool.nearest([everything[:2], everything[2:]])
    parts = np.split(np.arange(len(both)), pool.starts[1:])
    assert sorted(map(len, parts)) == [1] * 8 + [2] * 8
    expected = np.stack([everything[:, part].min(axis=1) for part in parts], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    means = [everything[0, part].mean() for part in parts]
    np.testing.assert_allclose(per_lesion(everything[0], pool), means)


def test_a_class_with_more_lesions_held_out_is_cut_to_those_of_training() -> None:
    pool = Pool.of(dataset((5, 5, 5, 0), "train"), dataset((9, 3, 5, 4), "val"), seed=0)
    assert pool.counts(held=False).tolist() == [5, 5, 5, 0]
    assert pool.counts(held=True).tolist() == [5, 3, 5, 0]


def simulated(seed: int, copied: int) -> str:
    """Verdict on 100 fakes in two spaces, of which the first `copied` are training lesions."""
    rng = np.random.default_rng(seed)
    pool = pool_of(90, 45)
    labels, planted_labels = np.arange(100) % 2, np.arange(20) % 2
    spaces = []
    trained = np.flatnonzero(~pool.held)
    for name in ("pixels", "features"):
        points = rng.standard_normal((135, 6)) + pool.labels[:, None]
        fakes = rng.standard_normal((100, 6)) + labels[:, None]
        fakes[:copied] = points[trained[:copied]] + 0.05 * rng.standard_normal((copied, 6))
        planted = points[trained[:20]] + 0.05 * rng.standard_normal((20, 6))
        spaces.append(space_of(name, fakes, planted, points, pool))
    found = judge(
        spaces, labels, planted_labels, pool, "ab", seed, relabellings=99, draws=1, trials=0
    )
    return found.verdict


@pytest.mark.parametrize("trials", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_without_copies_the_accusations_stay_within_the_level(trials: int) -> None:
    accused = sum(simulated(seed, 0) == COPIES for seed in range(trials)) / trials
    assert accused <= LEVEL + STANDARD_ERRORS * np.sqrt(LEVEL * (1 - LEVEL) / trials)


def test_one_copy_in_five_is_nearly_always_found_in_a_simulation() -> None:
    assert sum(simulated(seed, 20) == COPIES for seed in range(20)) >= 18


def test_membership_is_scikit_learns_auc_and_its_interval_covers_it() -> None:
    pool = pool_of(60, 30, classes=1)
    scores = np.random.default_rng(0).standard_normal(90).round(1) - pool.held
    found = attack("a score", scores, pool, seed=0)
    assert found.auc == pytest.approx(roc_auc_score(~pool.held, scores))
    assert found.interval[0] < found.auc < found.interval[1]
    assert (found.members, found.non_members) == (60, 30)


def test_membership_is_blind_to_what_is_only_a_difference_of_class() -> None:
    """Train has mostly one class, the hold-out the other; the score is the class."""
    labels = np.repeat([0, 1], [90, 20])
    names = np.arange(110).astype(str)
    images = np.zeros((110, 1, 1, 3), np.uint8)
    train = Dataset(images, labels, ("a", "b"), names, names, "train")
    held = Dataset(images[:30], np.repeat([0, 1], [10, 20]), ("a", "b"), names[:30], names, "val")
    pool = Pool.of(train, held, seed=0)
    assert attack("class", pool.labels.astype(float), pool, seed=0).auc == pytest.approx(0.5)


def test_planted_copies_are_found_by_their_pixels(train: Dataset) -> None:
    copies, chosen = planted_copies(train.images, 50, seed=0)
    assert (nearest_pixels(copies, train.images).index[:, 0] == chosen).mean() > 0.9


# ---- what is written ----


def test_the_record_and_the_lines_say_the_same(of_fresh: Memorisation) -> None:
    record = of_fresh.as_json()
    assert record["verdict"] == NO_SIGN
    assert record["power"][-1]["planted"] == record["noticed"]
    assert len(record["worst"]) == 20
    assert len(record["findings"]) == 10
    first, *_ = of_fresh.lines()
    assert first == record["sentence"]
    assert "finds problems and proves nothing" in first


def test_the_same_seed_gives_the_same_record(
    of_fresh: Memorisation, fresh, train: Dataset, held: Dataset, tiny: Extractor
) -> None:
    assert look(*fresh, train, held, tiny).as_json() == of_fresh.as_json()


def test_other_classes_are_refused(fresh, train: Dataset, tiny: Extractor) -> None:
    other = Dataset(train.images, train.labels, tuple("abcd"), train.groups, train.ids, "val")
    with pytest.raises(ValueError, match="hold-out"):
        look(*fresh, train, other, tiny)
