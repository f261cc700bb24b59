"""MobileNetV2 with the layer names of torchvision's, and Google's weights read into it.

Source: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", arXiv
1801.04381, table 2, width 1.0. TensorFlow's weights want TensorFlow's padding, which at stride 2
is not the symmetric one of PyTorch models.
"""

from pathlib import Path

import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from hqgan.errors import HqganError

FEATURES = 1280
DROPOUT = 0.2  # before the last layer, as in TensorFlow's and torchvision's
HEAD = "classifier.1."

# Expansion, channels, repeats, stride of the first: table 2 of the paper.
BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding: ceil(edge / stride) outputs along each edge.

    Where the zeros cannot be shared out evenly the odd one goes right and below: 0 left and top, 1
    right and bottom for a 3x3 kernel of stride 2 on an even edge.
    """

    def forward(self, x: Tensor) -> Tensor:
        top, bottom = self._zeros(x.shape[2], 0)
        left, right = self._zeros(x.shape[3], 1)
        if top == bottom and left == right:  # the convolution itself can do these
            return F.conv2d(
                x, self.weight, self.bias, self.stride, (top, left), self.dilation, self.groups
            )
        return super().forward(F.pad(x, (left, right, top, bottom)))

    def _zeros(self, edge: int, axis: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[axis], self.stride[axis]
        zeros = max((-(-edge // stride) - 1) * stride + kernel - edge, 0)
        return zeros // 2, zeros - zeros // 2


class MobileNet(nn.Module):
    """MobileNetV2 1.0: images (B, 3, S, S), pixels (p - 128) / 128, to features (B, 1280).

    `classifier` maps these to logits (B, classes); its parameters and those of `features` have the
    names of torchvision's `mobilenet_v2`. Cost: 300 MMAC an image at 224 px, 55 at 96.
    """

    def __init__(self, classes: int):
        super().__init__()
        layers: list[nn.Module] = [convolution(3, 32, 3, stride=2)]
        channels = 32
        for expansion, width, repeats, stride in BLOCKS:
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                layers.append(InvertedResidual(channels, width, expansion, step))
                channels = width
        layers.append(convolution(channels, FEATURES, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(FEATURES, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).mean((2, 3))

    def load(self, path: str | Path) -> None:
        """Read everything but the head from a safetensors file with torchvision's names.

        Raises:
            HqganError: the file is missing, damaged, or holds another network.
        """
        path = Path(path).expanduser()
        advice = (
            "Name a safetensors file of MobileNetV2 1.0 with torchvision's layer names in the "
            "study file: classifier: {weights: {mobilenet-v2: FILE}}."
        )
        if not path.is_file():
            raise HqganError(f"There are no MobileNetV2 weights at {path}. {advice}")
        try:
            state = load_file(path)
        except (SafetensorError, OSError) as error:
            raise HqganError(f"{path} cannot be read as safetensors ({error}). {advice}") from error
        expected = {
            name: entry.shape
            for name, entry in self.state_dict().items()
            if not name.startswith(HEAD) and not name.endswith("num_batches_tracked")
        }
        for name, shape in expected.items():
            if name not in state:
                raise HqganError(f"{path} has no {name!r}: it is another network. {advice}")
            if state[name].shape != shape:
                seen = tuple(state[name].shape)
                raise HqganError(f"{path}: {name} is {seen}, expected {tuple(shape)}. {advice}")
            if not state[name].isfinite().all():
                raise HqganError(f"{path}: {name} holds NaN or infinity. {advice}")
        self.load_state_dict({name: state[name] for name in expected}, strict=False)


class InvertedResidual(nn.Module):
    """Wide inside, narrow outside: 1x1 expansion, 3x3 depthwise, linear 1x1 projection."""

    def __init__(self, channels: int, width: int, expansion: int, stride: int):
        super().__init__()
        inner = channels * expansion
        layers: list[nn.Module] = [convolution(channels, inner, 1)] if expansion > 1 else []
        layers += [
            convolution(inner, inner, 3, stride=stride, groups=inner),
            nn.Conv2d(inner, width, 1, bias=False),
            nn.BatchNorm2d(width),
        ]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


def convolution(
    channels: int, width: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution, batch norm and ReLU6, a block of torchvision's."""
    return nn.Sequential(
        SameConv2d(channels, width, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU6(inplace=True),
    )
