"""The critic of the patch and latent GANs: a small perceptron on pixels, or on a code."""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from hqgan.models.critic import LEAK, Critic
from hqgan.models.hybridq_v1 import preserve_variance


class DenseCritic(Critic):
    """Images (B, 3, S, S), or codes (B, n), and class indices (B,) to one logit each (B,).

    | source | widths | activation |
    | --- | --- | --- |
    | PQWGAN (arXiv 2212.11614) | 784-512-256-1 on 28x28 pixels, grey | leaky ReLU 0.2 |
    | QPatchGAN, PennyLane's demo | 64-64-16-1 on 8x8 pixels, grey | ReLU |
    | MosaiQ (arXiv 2308.11096), LatentQGAN (arXiv 2409.14622) | 40-64-16-1 on a code | ReLU |

    None of them knows classes. Ours is given the class as a one-hot vector beside the numbers: an
    embedding added to the first layer's output, which starts standard normal, for a one-hot vector
    at the scale of one pixel would not be heard beside 12,288 others. Ours starts with weights that
    preserve the variance instead of PyTorch's default, as all our critics do.

    Args:
        classes: number of classes K.
        size: edge of the image, pixels.
        inputs: how many numbers it looks at; 3 S S by default.
        widths: of the hidden layers, one at least.
        leak: negative slope of the (leaky) ReLU.
    """

    def __init__(
        self,
        classes: int,
        size: int = 64,
        inputs: int | None = None,
        widths: Sequence[int] = (512, 256),
        leak: float = LEAK,
    ):
        super().__init__()
        if not widths:
            raise ValueError("a dense critic needs the width of one hidden layer at least")
        inputs = 3 * size**2 if inputs is None else inputs
        self.leak = leak
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise((inputs, *widths, 1)))
        self.label = nn.Embedding(classes, widths[0])
        preserve_variance(self)

    def forward(self, seen: Tensor, y: Tensor) -> Tensor:
        first, *others = self.layers
        h = first(seen.flatten(1)) + self.label(y)
        for layer in others:
            h = layer(F.leaky_relu(h, self.leak))
        return h.squeeze(1).float()
