"""Inception v3 as in TensorFlow's graph of 2015-12-05, the network that FID is defined on.

Three peculiarities set it apart from later Inceptions (torchvision's among them): batch norm has
eps 0.001, average pools do not count the padding, and the pool branch of the last block,
`Mixed_7c`, is a max pool. Layer names are those of pytorch-fid and torchvision, so their state
dicts load; batch norm is folded into the convolutions on loading.

Source: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
arXiv 1512.00567, figures 5 to 7.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INPUT_SIZE = 299  # pixels, both sides
BATCH_NORM_EPS = 1e-3
LAYER_DIMS = {"Mixed_6e": 768, "Mixed_7a": 1280, "Mixed_7c": 2048}  # readable layers, by depth


class Conv(nn.Module):
    """Convolution with bias (the folded batch norm) and ReLU; `name` is that of its entries.

    `pad` keeps the size of the map; with a stride, and without `pad`, the border is cut
    (TensorFlow's SAME and VALID). `relu=False` leaves the activation to the caller.
    """

    def __init__(
        self,
        name: str,
        channels_in: int,
        channels_out: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        pad: bool = True,
        relu: bool = True,
    ) -> None:
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (height // 2, width // 2) if pad and stride == 1 else (0, 0)
        self.name = name
        self.conv = nn.Conv2d(channels_in, channels_out, (height, width), stride, padding)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return F.relu_(x) if self.relu else x


class Branches(nn.Module):
    """Runs its branches on the same input and concatenates their channels in the order given."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def _average_branch(name: str, channels_in: int, channels_out: int) -> nn.Module:
    # A 1x1 convolution commutes with a normalised average: put first, it leaves less to pool.
    return nn.Sequential(
        Conv(f"{name}.branch_pool", channels_in, channels_out, 1, relu=False),
        nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
        nn.ReLU(inplace=True),
    )


def _block_35x35(name: str, channels_in: int, pool: int) -> nn.Module:
    return Branches(
        Conv(f"{name}.branch1x1", channels_in, 64, 1),
        nn.Sequential(
            Conv(f"{name}.branch5x5_1", channels_in, 48, 1),
            Conv(f"{name}.branch5x5_2", 48, 64, 5),
        ),
        nn.Sequential(
            Conv(f"{name}.branch3x3dbl_1", channels_in, 64, 1),
            Conv(f"{name}.branch3x3dbl_2", 64, 96, 3),
            Conv(f"{name}.branch3x3dbl_3", 96, 96, 3),
        ),
        _average_branch(name, channels_in, pool),
    )


def _reduce_to_17x17(name: str, channels_in: int) -> nn.Module:
    return Branches(
        Conv(f"{name}.branch3x3", channels_in, 384, 3, stride=2),
        nn.Sequential(
            Conv(f"{name}.branch3x3dbl_1", channels_in, 64, 1),
            Conv(f"{name}.branch3x3dbl_2", 64, 96, 3),
            Conv(f"{name}.branch3x3dbl_3", 96, 96, 3, stride=2),
        ),
        nn.MaxPool2d(3, stride=2),
    )


def _block_17x17(name: str, width: int) -> nn.Module:
    return Branches(
        Conv(f"{name}.branch1x1", 768, 192, 1),
        nn.Sequential(
            Conv(f"{name}.branch7x7_1", 768, width, 1),
            Conv(f"{name}.branch7x7_2", width, width, (1, 7)),
            Conv(f"{name}.branch7x7_3", width, 192, (7, 1)),
        ),
        nn.Sequential(
            Conv(f"{name}.branch7x7dbl_1", 768, width, 1),
            Conv(f"{name}.branch7x7dbl_2", width, width, (7, 1)),
            Conv(f"{name}.branch7x7dbl_3", width, width, (1, 7)),
            Conv(f"{name}.branch7x7dbl_4", width, width, (7, 1)),
            Conv(f"{name}.branch7x7dbl_5", width, 192, (1, 7)),
        ),
        _average_branch(name, 768, 192),
    )


def _reduce_to_8x8(name: str) -> nn.Module:
    return Branches(
        nn.Sequential(
            Conv(f"{name}.branch3x3_1", 768, 192, 1),
            Conv(f"{name}.branch3x3_2", 192, 320, 3, stride=2),
        ),
        nn.Sequential(
            Conv(f"{name}.branch7x7x3_1", 768, 192, 1),
            Conv(f"{name}.branch7x7x3_2", 192, 192, (1, 7)),
            Conv(f"{name}.branch7x7x3_3", 192, 192, (7, 1)),
            Conv(f"{name}.branch7x7x3_4", 192, 192, 3, stride=2),
        ),
        nn.MaxPool2d(3, stride=2),
    )


def _block_8x8(name: str, channels_in: int, pool_branch: nn.Module) -> nn.Module:
    return Branches(
        Conv(f"{name}.branch1x1", channels_in, 320, 1),
        nn.Sequential(
            Conv(f"{name}.branch3x3_1", channels_in, 384, 1),
            Branches(
                Conv(f"{name}.branch3x3_2a", 384, 384, (1, 3)),
                Conv(f"{name}.branch3x3_2b", 384, 384, (3, 1)),
            ),
        ),
        nn.Sequential(
            Conv(f"{name}.branch3x3dbl_1", channels_in, 448, 1),
            Conv(f"{name}.branch3x3dbl_2", 448, 384, 3),
            Branches(
                Conv(f"{name}.branch3x3dbl_3a", 384, 384, (1, 3)),
                Conv(f"{name}.branch3x3dbl_3b", 384, 384, (3, 1)),
            ),
        ),
        pool_branch,
    )


def _max_branch(name: str, channels_in: int, channels_out: int) -> nn.Module:
    return nn.Sequential(
        nn.MaxPool2d(3, stride=1, padding=1),
        Conv(f"{name}.branch_pool", channels_in, channels_out, 1),
    )


class Inception(nn.Module):
    """The network up to one of the layers of `LAYER_DIMS`, returning the spatial mean of each of
    those it passes.

    `forward` takes (B, 3, 299, 299) in [-1, 1] and returns {layer: (B, dim) float32}.
    Cost: about 9 GFLOP per image to `Mixed_6e`, 11 to `Mixed_7c`.
    """

    def __init__(self, last_layer: str = "Mixed_6e") -> None:
        super().__init__()
        if last_layer not in LAYER_DIMS:
            raise ValueError(f"last_layer is {last_layer!r}, expected one of {list(LAYER_DIMS)}")
        layers: list[tuple[str, nn.Module]] = [
            ("Conv2d_1a_3x3", Conv("Conv2d_1a_3x3", 3, 32, 3, stride=2)),
            ("Conv2d_2a_3x3", Conv("Conv2d_2a_3x3", 32, 32, 3, pad=False)),
            ("Conv2d_2b_3x3", Conv("Conv2d_2b_3x3", 32, 64, 3)),
            ("maxpool1", nn.MaxPool2d(3, stride=2)),
            ("Conv2d_3b_1x1", Conv("Conv2d_3b_1x1", 64, 80, 1)),
            ("Conv2d_4a_3x3", Conv("Conv2d_4a_3x3", 80, 192, 3, pad=False)),
            ("maxpool2", nn.MaxPool2d(3, stride=2)),
            ("Mixed_5b", _block_35x35("Mixed_5b", 192, pool=32)),
            ("Mixed_5c", _block_35x35("Mixed_5c", 256, pool=64)),
            ("Mixed_5d", _block_35x35("Mixed_5d", 288, pool=64)),
            ("Mixed_6a", _reduce_to_17x17("Mixed_6a", 288)),
            ("Mixed_6b", _block_17x17("Mixed_6b", 128)),
            ("Mixed_6c", _block_17x17("Mixed_6c", 160)),
            ("Mixed_6d", _block_17x17("Mixed_6d", 160)),
            ("Mixed_6e", _block_17x17("Mixed_6e", 192)),
            ("Mixed_7a", _reduce_to_8x8("Mixed_7a")),
            ("Mixed_7b", _block_8x8("Mixed_7b", 1280, _average_branch("Mixed_7b", 1280, 192))),
            ("Mixed_7c", _block_8x8("Mixed_7c", 2048, _max_branch("Mixed_7c", 2048, 192))),
        ]
        names = [name for name, _ in layers]
        self.layers = nn.ModuleDict(dict(layers[: names.index(last_layer) + 1]))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x, means = images, {}
        for name, layer in self.layers.items():
            x = layer(x)
            if name in LAYER_DIMS:
                means[name] = x.float().mean(dim=(2, 3))
        return means

    def convolutions(self) -> list[Conv]:
        """Every named convolution, in the order of definition."""
        return [module for module in self.modules() if isinstance(module, Conv)]

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Fold a published state dict (`<name>.conv.weight`, `<name>.bn.*`) into the convolutions.

        Entries for other layers are ignored; ValueError names the first entry that is missing or
        has another shape.
        """
        for module in self.convolutions():
            weight = _entry(state, f"{module.name}.conv.weight", module.conv.weight.shape)
            scale, shift, mean, variance = (
                _entry(state, f"{module.name}.bn.{key}", weight.shape[:1])
                for key in ("weight", "bias", "running_mean", "running_var")
            )
            scale = scale / torch.sqrt(variance + BATCH_NORM_EPS)
            module.conv.weight.copy_(weight * scale[:, None, None, None])
            assert module.conv.bias is not None
            module.conv.bias.copy_(shift - mean * scale)


def deepest_layer(state: Mapping[str, Tensor]) -> str | None:
    """The deepest readable layer whose weights a published state dict holds, or None."""
    held = [layer for layer in LAYER_DIMS if any(key.startswith(f"{layer}.") for key in state)]
    return held[-1] if held else None


def _entry(state: Mapping[str, Tensor], key: str, shape: torch.Size) -> Tensor:
    if key not in state:
        raise ValueError(
            f"the state dict has no {key!r}, expected pytorch-fid's Inception v3 names"
        )
    if state[key].shape != shape:
        raise ValueError(f"{key} has shape {tuple(state[key].shape)}, expected {tuple(shape)}")
    return state[key].double()  # folded in double, so that folding costs no accuracy
