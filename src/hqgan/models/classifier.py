"""The classifiers of a study: they say whether synthetic images help.

- `SmallResNet`, from scratch: cheap enough for hundreds of runs on two cores.
- `MobileNetV2`, pretrained on ImageNet and fine-tuned: what one would use in practice.
- `timm:NAME`: any model of the timm library (extra `vision`).
"""

from abc import ABC, abstractmethod
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn

from hqgan.errors import HqganError, MissingExtra, UsageError
from hqgan.models.mobilenet import MobileNet

TIMM = "timm:"
PRETRAINED = "pretrained"  # as weights of a timm model: those that timm publishes


class Classifier(nn.Module, ABC):
    """Base of all classifiers: images (B, 3, S, S) in [-1, 1] to logits (B, K), float32.

    Attributes:
        name: what `build_classifier` calls it.
        classes: number of classes K.
        size: edge S of the images it is made for, pixels.
        learning_rate: AdamW's highest one that suits its start, from scratch or pretrained.
        bf16_on_cpu: whether one thread of a CPU that multiplies in bfloat16 trains it faster so.
    """

    name: str
    classes: int
    size: int
    learning_rate: float = 3e-4
    bf16_on_cpu: bool = False

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images)).float()

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) to the activations (B, D) that the last layer sees."""

    @abstractmethod
    def head(self, features: Tensor) -> Tensor:
        """Activations (B, D) to logits (B, K)."""


class SmallResNet(Classifier):
    """A residual network of three stages, one basic block each, trained from scratch.

    He et al. 2016 (arXiv 1512.03385, section 4.2), but for strides: the stem and each stage halve
    the resolution, so that a 64-px image costs 13.2 MMAC and a 32-px one 3.3. He initialisation,
    batch norm; the last scale of a block starts at zero (Goyal et al. 2017, arXiv 1706.02677,
    section 5.1), so that it starts as its shortcut. 0.3 M parameters.

    Args:
        classes: number of classes K.
        size: edge of the images, from 16 pixels up.
        width: channels of stem and first stage; they double at each of the two that follow.

    Raises:
        UsageError: for a size below 16.
    """

    name = "resnet-small"
    learning_rate = 3e-3
    bf16_on_cpu = True  # 1.9 times as fast; mobilenet-v2 gains 1.2 times, too little to round for

    def __init__(self, classes: int, size: int, width: int = 32):
        super().__init__()
        if size < 16:
            raise UsageError(f"resnet-small needs images from 16 px up, got {size}; raise the size")
        self.classes, self.size = classes, size
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        widths = (width, width, 2 * width, 4 * width)
        self.blocks = nn.Sequential(*(BasicBlock(a, b) for a, b in pairwise(widths)))
        self.logits = nn.Linear(widths[-1], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, BasicBlock):
                nn.init.zeros_(module.norm2.weight)

    def features(self, images: Tensor) -> Tensor:
        return self.blocks(self.stem(images)).mean((2, 3))

    def head(self, features: Tensor) -> Tensor:
        return self.logits(features)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, the first of stride 2, added to a 1x1 convolution of that stride."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, 2, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential(
            nn.Conv2d(channels, width, 1, 2, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(inner)) + self.shortcut(x))


class MobileNetV2(Classifier):
    """ImageNet's MobileNetV2, features (B, 1280), with a new last layer.

    Images are resized (bilinear) to `side`, since the network halves them five times: 55 MMAC an
    image at 96 px, three times that in training, 100 images/s on two cores that had other work too.
    Batch norm stays as it was read, in training too: in TensorFlow's converted weights its scales
    are folded into the convolutions, and normalising by the batch would undo them.

    Args:
        classes: number of classes K.
        size: edge of the images that are given to it, pixels.
        side: edge they are resized to, a multiple of 32.
    """

    name = "mobilenet-v2"

    def __init__(self, classes: int, size: int, side: int = 96):
        super().__init__()
        self.classes, self.size, self.side = classes, size, side
        self.network = MobileNet(classes)

    def features(self, images: Tensor) -> Tensor:
        if images.shape[-1] != self.side:
            smaller = images.shape[-1] > self.side
            images = F.interpolate(
                images, (self.side, self.side), mode="bilinear", antialias=smaller
            )
        # Bytes p are images * 127.5 + 127.5 here, and (p - 128) / 128 to the published weights.
        return self.network((images * 127.5 - 0.5) / 128)

    def head(self, features: Tensor) -> Tensor:
        return self.network.classifier(features)

    def train(self, mode: bool = True) -> "MobileNetV2":
        """Training mode but for batch norm, whose statistics stay those of the weights."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


class TimmClassifier(Classifier):
    """A model of the timm library, its images normalised and resized to what it was trained on.

    Args:
        name: "timm:" and timm's name of it.
        classes: number of classes K.
        size: edge of the images that are given to it, pixels.
        weights: None for a random start, "pretrained" for those timm publishes (downloaded), or
            the path of a safetensors file of them, head included or not.

    Raises:
        MissingExtra: timm is not installed.
        HqganError: timm is installed but cannot be imported, or cannot make this model of these
            weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, classes: int, size: int, weights: str | None = None):
        super().__init__()
        self.name, self.classes, self.size = name, classes, size
        options: dict[str, Any] = {"pretrained": weights is not None, "num_classes": classes}
        if weights is not None and weights != PRETRAINED:
            path = Path(weights).expanduser()
            if path.suffix != ".safetensors" or not path.is_file():  # a pickle could run code
                raise HqganError(
                    f"classifier.weights is {weights!r}, expected a safetensors file that exists, "
                    f"or {PRETRAINED!r} for the weights that timm publishes."
                )
            options["pretrained_cfg_overlay"] = {"file": str(path)}
        try:
            self.network = timm().create_model(name.removeprefix(TIMM), **options)
        except (RuntimeError, ValueError, OSError, KeyError, SafetensorError) as error:
            raise HqganError(
                f"timm cannot make {name!r} ({error}). `timm.list_models()` lists its names; "
                "weights must be those of the same model."
            ) from error
        config = self.network.pretrained_cfg
        self.side = int(config["input_size"][-1])
        for key in ("mean", "std"):  # of pixels in [0, 1]
            self.register_buffer(key, torch.tensor(config[key]).view(1, 3, 1, 1), persistent=False)

    def features(self, images: Tensor) -> Tensor:
        if images.shape[-1] != self.side:
            smaller = images.shape[-1] > self.side
            images = F.interpolate(
                images, (self.side, self.side), mode="bilinear", antialias=smaller
            )
        maps = self.network.forward_features((images / 2 + 0.5 - self.mean) / self.std)
        return self.network.forward_head(maps, pre_logits=True)

    def head(self, features: Tensor) -> Tensor:
        return self.network.get_classifier()(features)


def timm() -> Any:
    """The library timm; its import needs a torchvision that fits torch."""
    try:
        import timm
    except ModuleNotFoundError as error:
        if error.name == "timm":
            raise MissingExtra("timm", "vision", "a classifier timm:NAME") from error
        raise unusable(error) from error
    except (ImportError, RuntimeError, AttributeError) as error:
        raise unusable(error) from error
    return timm


def unusable(error: Exception) -> HqganError:
    """The error for a timm that is there and does not work."""
    return HqganError(
        f"timm is installed but cannot be imported ({error}). It needs a torchvision that fits "
        f"torch {torch.__version__}: install the pair that pytorch.org names, or, on a machine "
        "without a GPU, `pip install --no-deps torchvision==0.16.2`."
    )


CLASSIFIERS: dict[str, type[SmallResNet] | type[MobileNetV2]] = {
    SmallResNet.name: SmallResNet,
    MobileNetV2.name: MobileNetV2,
}


def build_classifier(name: str, classes: int, size: int, weights: str | None = None) -> Classifier:
    """A classifier ready to be trained: its last layer is new, the rest as `weights` say.

    Args:
        name: one of `CLASSIFIERS`, or "timm:NAME".
        classes: number of classes K.
        size: edge of the images, pixels.
        weights: the file to start from: needed by mobilenet-v2, not taken by resnet-small.

    Raises:
        UsageError: for an unknown name, or weights that are missing or have no use.
        HqganError: the weights cannot be used; MissingExtra where timm is absent.
    """
    if name == MobileNetV2.name and weights is None:
        raise UsageError(
            "The classifier mobilenet-v2 starts from published weights, and none are named. Name "
            "their safetensors file in the study file: classifier: {weights: {mobilenet-v2: FILE}}."
        )
    if name == SmallResNet.name and weights is not None:
        raise UsageError(
            f"The classifier resnet-small is trained from scratch, but classifier.weights is "
            f"{weights!r}. Leave it out, or choose mobilenet-v2."
        )
    if name.startswith(TIMM):
        return TimmClassifier(name, classes, size, weights)
    classifier = empty_classifier(name, classes, size)
    if isinstance(classifier, MobileNetV2) and weights is not None:
        classifier.network.load(weights)
    return classifier


def empty_classifier(name: str, classes: int, size: int) -> Classifier:
    """A classifier whose weights are to be loaded: random ones, no file is read.

    Raises UsageError for an unknown name.
    """
    if name.startswith(TIMM):
        return TimmClassifier(name, classes, size)
    if name not in CLASSIFIERS:
        known = ", ".join((*CLASSIFIERS, "timm:NAME"))
        raise UsageError(f"unknown classifier {name!r}; known are {known}")
    return CLASSIFIERS[name](classes, size)
