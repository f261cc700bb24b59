"""Features, distances and shares equal torch-fidelity's, on the same weights and images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hqgan.evaluation.inception import Inception
from hqgan.evaluation.manifold import precision_recall_density_coverage
from hqgan.evaluation.metrics import frechet_distance, kid
from random_inception import random_state

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

FEATURE_RTOL = 1e-4  # float32 through 94 convolutions, folded here and not there
DISTANCE_RTOL = 1e-6  # theirs takes eigenvalues of an unsymmetric product
KID_ATOL = 1e-10
SHARE_ATOL = 1e-6  # theirs is a mean in single precision


@pytest.fixture(scope="module")
def torch_fidelity():
    try:
        import torch_fidelity
    except (
        ImportError,
        RuntimeError,
    ) as error:  # a torchvision of another torch raises RuntimeError
        pytest.skip(f"torch_fidelity cannot be imported: {error}")
    return torch_fidelity


def features(state: dict[str, torch.Tensor], images: torch.Tensor) -> dict[str, np.ndarray]:
    network = Inception("Mixed_7c").eval()
    network.load(state)
    with torch.inference_mode():
        # torch-fidelity maps 0..255 by (x - 128) / 128, pytorch-fid and we by x / 127.5 - 1.
        return {k: v.numpy() for k, v in network((images.float() - 128) / 128).items()}


def their_features(
    state: dict[str, torch.Tensor], images: torch.Tensor, folder: Path
) -> tuple[np.ndarray, np.ndarray]:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    classifier = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    torch.save({**state, **classifier}, folder / "weights.pth")
    extractor = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["768", "2048"], str(folder / "weights.pth")
    )
    with torch.inference_mode():
        at_768, at_2048 = extractor(images)
    return at_768.numpy(), at_2048.numpy()


def images_299(seed: int, count: int = 2) -> torch.Tensor:
    """Smooth random images at the network's own size, where no resize can differ."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 12, 12, generator=rng)
    return (torch.nn.functional.interpolate(coarse, 299, mode="bicubic") * 255).clamp(0, 255).byte()


@pytest.mark.usefixtures("torch_fidelity")
def test_the_whole_network_gives_the_same_features_on_random_weights(tmp_path: Path) -> None:
    state, images = random_state(), images_299(seed=1)
    at_768, at_2048 = their_features(state, images, tmp_path)
    ours = features(state, images)
    np.testing.assert_allclose(ours["Mixed_6e"], at_768, rtol=FEATURE_RTOL, atol=FEATURE_RTOL)
    np.testing.assert_allclose(ours["Mixed_7c"], at_2048, rtol=FEATURE_RTOL, atol=FEATURE_RTOL)


@pytest.mark.usefixtures("torch_fidelity")
def test_the_real_weights_give_the_same_768_features(
    inception_weights: Path, tmp_path: Path
) -> None:
    # The deepest two blocks are not in the local file; random ones leave the 768 features alone.
    state, images = {**random_state(), **load_file(inception_weights)}, images_299(seed=2)
    at_768, _ = their_features(state, images, tmp_path)
    ours = features(state, images)["Mixed_6e"]
    np.testing.assert_allclose(ours, at_768, rtol=FEATURE_RTOL, atol=FEATURE_RTOL)


@pytest.mark.usefixtures("torch_fidelity")
@pytest.mark.parametrize(("count", "dim"), [(40, 8), (300, 64)])
def test_the_frechet_distance_is_the_same(count: int, dim: int) -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    rng = np.random.default_rng(count)
    mix = rng.standard_normal((dim, dim))
    real = rng.standard_normal((count, dim)) @ mix
    fake = rng.standard_normal((count + 7, dim)) @ mix.T + 0.3
    statistics = [fid_features_to_statistics(torch.from_numpy(x)) for x in (real, fake)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)
    theirs = theirs["frechet_inception_distance"]
    assert frechet_distance(real, fake) == pytest.approx(theirs, rel=DISTANCE_RTOL)


@pytest.mark.usefixtures("torch_fidelity")
def test_kid_is_the_same_where_their_one_subset_is_everything() -> None:
    from torch_fidelity.metric_kid import kid_features_to_metric

    rng = np.random.default_rng(0)
    real, fake = rng.standard_normal((60, 32)), rng.standard_normal((60, 32)) + 0.2
    theirs = kid_features_to_metric(
        torch.from_numpy(real),
        torch.from_numpy(fake),
        kid_subsets=1,
        kid_subset_size=60,
        verbose=False,
    )["kernel_inception_distance_mean"]
    assert kid(real, fake) == pytest.approx(theirs, abs=KID_ATOL)


@pytest.mark.usefixtures("torch_fidelity")
@pytest.mark.parametrize(("k", "shift"), [(3, 0.0), (5, 0.4)])
def test_precision_and_recall_are_the_same(k: int, shift: float) -> None:
    from torch_fidelity.metric_prc import prc_features_to_metric

    rng = np.random.default_rng(k)
    real, fake = rng.standard_normal((300, 16)), 0.8 * rng.standard_normal((280, 16)) + shift
    # The released 0.4.0 takes the generated set first; before, their code had the real one first.
    theirs = prc_features_to_metric(
        torch.from_numpy(fake),
        torch.from_numpy(real),
        prc_neighborhood=k,
        prc_batch_size=100,
        save_cpu_ram=True,
        verbose=False,
    )
    ours = precision_recall_density_coverage(real, fake, k)
    assert ours.precision == pytest.approx(theirs["precision"], abs=SHARE_ATOL)
    assert ours.recall == pytest.approx(theirs["recall"], abs=SHARE_ATOL)
