"""Truncated latents are truncated normal ones; walks begin and end where they say."""

import pytest
import torch
from scipy import stats

from hqgan.errors import UsageError
from hqgan.models import HybridQGenerator, build_generator, latents, truncated, walk

SAME_DISTRIBUTION = 1e-3  # least p of the Kolmogorov-Smirnov test
ROUNDING = 1e-5  # of float32 angles and quantiles


@pytest.fixture(scope="module")
def generator() -> HybridQGenerator:
    torch.manual_seed(0)
    return HybridQGenerator(2, 32, qubits=2, circuit_layers=1).eval()


@pytest.mark.parametrize("limit", [0.1, 0.7, 2.0, 3.9])
def test_truncation_makes_a_truncated_normal_of_a_normal(
    generator: HybridQGenerator, limit: float
) -> None:
    z = torch.randn(200, 100, generator=torch.Generator().manual_seed(1))
    found = truncated(generator, z, limit).flatten().numpy()
    assert abs(found).max() <= limit
    assert stats.kstest(found, stats.truncnorm(-limit, limit).cdf).pvalue > SAME_DISTRIBUTION


def test_truncation_keeps_the_order_and_four_keeps_everything(generator: HybridQGenerator) -> None:
    z = torch.linspace(-3, 3, 50)[None]
    assert torch.equal(truncated(generator, z, 4.0), z)
    assert (truncated(generator, z, 1.0).diff() > 0).all()


@pytest.mark.parametrize("limit", [0.0, -1.0, 4.1, float("nan")])
def test_an_impossible_limit_is_refused(generator: HybridQGenerator, limit: float) -> None:
    with pytest.raises(UsageError, match="truncation is"):
        truncated(generator, torch.zeros(1, 128), limit)


def test_bounded_latents_are_not_truncated() -> None:
    patch = build_generator("qpatch", 2, 32)
    with pytest.raises(UsageError, match="bounded already"):
        truncated(patch, torch.zeros(1, patch.z_dim), 1.0)


@pytest.mark.parametrize("name", ["hybridq", "qpatch"])
def test_a_walk_goes_from_one_seed_to_the_other(name: str) -> None:
    generator = build_generator(name, 2, 32)
    z = walk(generator, 1, (3, 4), 7)
    assert z.shape == (7, generator.z_dim)
    ends = [next(latents(generator, [1], seed))[0][0] for seed in (3, 4)]
    assert torch.allclose(z[0], ends[0], atol=ROUNDING)
    assert torch.allclose(z[-1], ends[1], atol=ROUNDING)
    assert len({tuple(row.tolist()) for row in z}) == 7


def test_the_latents_of_a_walk_keep_their_length(generator: HybridQGenerator) -> None:
    lengths = walk(generator, 0, (0, 1), 5).norm(dim=1)
    shortest, longest = sorted([lengths[0], lengths[-1]])
    assert lengths.min() > 0.95 * shortest  # the straight line would come down to 0.7
    assert lengths.max() < 1.05 * longest


def test_a_walk_to_its_own_start_stands_still(generator: HybridQGenerator) -> None:
    z = walk(generator, 0, (5, 5), 3)
    assert torch.allclose(z, z[:1].expand(3, -1), atol=ROUNDING)
    with pytest.raises(UsageError, match="two ends"):
        walk(generator, 0, (0, 1), 1)
