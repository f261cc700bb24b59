"""What every critic offers to training, and the class-conditional one of ours.

`ProjectionCritic`: convolutions down to 4x4, minibatch deviation, class projection.

It has no normalisation layer, so its initialisation must preserve the variance itself (He et al.
2015 for leaky ReLU): with PyTorch's default the signal shrinks by about 0.4 a layer and the critic
hardly learns.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAK = 0.2
MAX_CHANNELS = 256


class Critic(nn.Module):
    """Base of all critics, called as D(x, y) with images (B, 3, S, S), or codes, and labels (B,).

    Returns one logit an image (B,), or several (B, M), whose losses are averaged.
    """

    def auxiliary(self, real: Tensor) -> Tensor | float:
        """A term the critic adds to its loss, on (augmented) real images; 0 unless overridden."""
        del real
        return 0.0


class ProjectionCritic(Critic):
    """Images (B, 3, S, S) in [-1, 1] and class indices (B,) to one logit each (B,).

    Projection discriminator (Miyato & Koyama 2018, arXiv 1802.05637, equation 3) with minibatch
    standard deviation (Karras et al. 2018, arXiv 1710.10196, section 3).

    Args:
        classes: number of classes K.
        size: edge of the image, a power of two from 16 pixels up.
        width: channels after the first convolution; they double each time the resolution halves,
            up to 256.
    """

    def __init__(self, classes: int, size: int = 64, width: int = 32):
        super().__init__()
        if size < 16 or size & (size - 1):
            raise ValueError(f"size is {size}, but must be a power of two from 16 up")
        # Small images are looked at in full before anything is thrown away; large ones cannot be.
        stem = nn.Conv2d(3, width, 3, 1, 1) if size <= 32 else nn.Conv2d(3, width, 4, 2, 1)
        layers: list[nn.Module] = [stem, nn.LeakyReLU(LEAK)]
        resolution, channels = size // stem.stride[0], width
        while resolution > 4:
            wider = min(2 * channels, MAX_CHANNELS)
            layers += [nn.Conv2d(channels, wider, 4, 2, 1), nn.LeakyReLU(LEAK)]
            resolution, channels = resolution // 2, wider
            if resolution > 4:  # one more look at each scale but the last: the head sees it whole
                layers += [nn.Conv2d(channels, channels, 3, 1, 1), nn.LeakyReLU(LEAK)]
        self.features = nn.Sequential(*layers)
        self.mix = nn.Conv2d(channels + 1, 128, 3, 1, 1)
        self.dense = nn.Linear(128 * 4 * 4, 128)
        self.logit = nn.Linear(128, 1)
        self.embedding = nn.Embedding(classes, 128)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, a=LEAK)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.embedding.weight, std=128**-0.5)

    def forward(self, images: Tensor, y: Tensor) -> Tensor:
        h = minibatch_deviation(self.features(images))  # (B, C + 1, 4, 4)
        h = F.leaky_relu(self.mix(h), LEAK)
        h = F.leaky_relu(self.dense(h.flatten(1)), LEAK)  # (B, 128)
        return (self.logit(h).squeeze(1) + (self.embedding(y) * h).sum(1)).float()


def minibatch_deviation(x: Tensor, group: int = 4) -> Tensor:
    """Append one channel: the mean standard deviation over groups of images (B, C, H, W).

    It shows a lack of variety. Groups are neighbours in the batch; a batch that `group` does not
    divide forms one group.
    """
    b, c, h, w = x.shape
    group = group if b % group == 0 else b
    grouped = x.float().reshape(b // group, group, c * h * w)
    deviation = (grouped.var(1, unbiased=False) + 1e-8).sqrt().mean(1)  # (B / group,)
    channel = deviation.repeat_interleave(group).view(b, 1, 1, 1).expand(b, 1, h, w)
    return torch.cat([x, channel.to(x.dtype)], 1)
