"""HybridQ's generator: a convolutional and a quantum stream, fused in a latent map.

Read this file first, then `hqgan.quantum.statevector`.
Shapes: `B` batch, `K` classes, `Q` qubits, `S` image size.

    z (B,128), y ─► Encoder ─► map (B,32,8,8) ─┬─► classical stream: conv ───► (B,16,8,8) ─┐
                                               └─► QuantumStream ───────────► (B,16,8,8) ─┴─► Fusion
    QuantumStream: 4x4 sites ─► angles ─► circuits ─► expectation values ─► 4x4 map ─► 8x8
    Fusion ─► Decoder ─► images (B,3,S,S) in [-1, 1]

Source: Jiao et al., arXiv 2506.21015. Its two versions differ and only the second has public code;
this is our improved default, not a reproduction (those are `hybridq_v1` and `mediq_v2`). What we
keep: one class-conditional generator, two streams split from one latent map, fusion before a shared
decoder, RY/CZ circuits on pooled sites. Where we differ, and why:

- every one of the 16 sites has a circuit and every expectation value is kept. The public code reads
  5 sites and averages 16 values into one nearly constant number (its spread is 0.05), which cannot
  carry an image;
- small circuits (6 qubits) with re-uploaded inputs instead of 16 qubits: a richer function for each
  gate, no barren plateau, small-angle initialisation;
- a learned gate on the quantum channels, so that what they contribute can be read off;
- the decoder is conditioned on latent and class in every block, has noise as a source of texture,
  and does its arithmetic at low resolution.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqgan.errors import UsageError
from hqgan.models.generator import Generator
from hqgan.models.twins import circuits_or_twin
from hqgan.quantum import layered

MAP = 8  # edge of the latent map where the streams are fused
SITES = 4  # edge of the pooled map: SITES x SITES circuits for each image
STREAM_CHANNELS = 16  # channels of each stream at the fusion
LEAK = 0.2  # negative slope of every leaky ReLU
# By resolution; twice the resolution is four times the pixels, so the channels must shrink as fast.
DECODER_CHANNELS = {8: 128, 16: 96, 32: 48, 64: 24, 128: 16}
FUSIONS = ("gated", "concat", "film")


class HybridQGenerator(Generator):
    """Class-conditional hybrid generator, at most 0.9 M parameters at 64 px.

    Args:
        classes: number of classes K.
        size: edge of the image, 32, 64 or 128 pixels.
        z_dim: length of the latent vector.
        qubits: qubits of each of the 16 circuits of an image.
        circuit_layers: trainable RY + CZ layers; the site's angles are uploaded again before each.
        circuit_groups: sets of circuit weights: 1, all sites share one; 4, one for each row of
            sites; 16, each site has its own.
        fusion: how the streams meet, "gated", "concat" or "film" (see `Fusion`).
        twin: what stands in the circuits' place, as a control (see `hqgan.models.twins`).

    Raises:
        UsageError: for a size or twin that is not offered.
        ValueError: for a fusion or group count that is not offered.
    """

    def __init__(
        self,
        classes: int,
        size: int = 64,
        z_dim: int = 128,
        qubits: int = 6,
        circuit_layers: int = 3,
        circuit_groups: int = 4,
        fusion: str = "gated",
        twin: str | None = None,
    ):
        super().__init__()
        if size not in (32, 64, 128):
            raise UsageError(
                f"size is {size}, but this generator makes images of 32, 64 or 128 pixels"
            )
        self.classes, self.size, self.z_dim = classes, size, z_dim
        self.encoder = Encoder(classes, z_dim)
        self.classical = nn.Conv2d(Encoder.channels, STREAM_CHANNELS, 3, padding=1)
        self.quantum = QuantumStream(
            Encoder.channels, STREAM_CHANNELS, qubits, circuit_layers, circuit_groups, twin
        )
        self.fusion = Fusion(STREAM_CHANNELS, fusion)
        self.decoder = Decoder(self.fusion.out_channels, size, Encoder.style_dim, z_dim)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Latents (B, z_dim) and class indices (B,) to images (B, 3, S, S) in [-1, 1]."""
        latent_map, style = self.encoder(z, y)  # (B, 32, 8, 8), (B, 64)
        classical = F.leaky_relu(self.classical(latent_map), LEAK)  # (B, 16, 8, 8)
        quantum = self.quantum(latent_map)  # (B, 16, 8, 8)
        return self.decoder(self.fusion(classical, quantum), style, z)


class Encoder(nn.Module):
    """Latent and class to the map both streams read, and to the decoder's style vector."""

    channels, style_dim, embedding_dim, start_channels = 32, 64, 32, 64

    def __init__(self, classes: int, z_dim: int):
        super().__init__()
        self.embedding = nn.Embedding(classes, self.embedding_dim)
        joint = z_dim + self.embedding_dim
        self.style = nn.Linear(joint, self.style_dim)
        self.start = nn.Linear(joint, self.start_channels * SITES**2)
        self.norm = nn.BatchNorm2d(self.start_channels)
        self.conv = nn.Conv2d(self.start_channels, self.channels, 3, padding=1)

    def forward(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        zy = torch.cat([z, self.embedding(y)], 1)  # (B, 160)
        start = self.start(zy).view(z.shape[0], self.start_channels, SITES, SITES)
        start = start.contiguous(memory_format=torch.channels_last)
        latent_map = self.conv(double(F.leaky_relu(self.norm(start), LEAK)))  # (B, 32, 8, 8)
        return F.leaky_relu(latent_map, LEAK), F.leaky_relu(self.style(zy), LEAK)


class QuantumStream(nn.Module):
    """A small circuit at each of the 4x4 sites of the map; its expectation values are channels.

    Per site: linear to Q angles, bounded to (-pi, pi) by tanh; L times [RY(angle), RY(weight), CZ
    chain]; <Z> and <X> of each qubit. With RY and CZ alone the state stays real, which halves the
    cost of simulating it. Cost: 16 B circuits a batch.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        qubits: int,
        layers: int,
        groups: int,
        twin: str | None = None,
    ):
        super().__init__()
        if SITES**2 % groups:
            raise ValueError(f"circuit_groups is {groups}, but must divide the {SITES**2} sites")
        self.to_angles = nn.Conv2d(in_channels, qubits, 1)
        circuit = layered(
            qubits,
            layers,
            encoding="ry",
            reupload=True,
            rotation="ry",
            entangler="cz_chain",
            readout="z+x",
        )
        self.groups = groups
        self.circuits = circuits_or_twin(twin, circuit, groups)
        self.to_channels = nn.Conv2d(circuit.outputs, out_channels, 1)

    def forward(self, latent_map: Tensor) -> Tensor:
        angles = torch.pi * torch.tanh(
            self.to_angles(F.avg_pool2d(latent_map, MAP // SITES))
        )  # (B, Q, 4, 4)
        values = self.expectation_values(angles)  # (B, outputs, 4, 4)
        return double(self.to_channels(values))

    def expectation_values(self, angles: Tensor) -> Tensor:
        """Angles (B, Q, 4, 4), radians, to values (B, outputs, 4, 4), site by site."""
        b, q, h, w = angles.shape
        groups = self.groups
        sites = angles.permute(0, 2, 3, 1).reshape(b, groups, -1, q)  # (B, G, sites / G, Q)
        # Sites of one group differ in their angles alone, so they join the batch.
        rows = sites.transpose(1, 2).reshape(-1, groups, q)
        values = self.circuits(rows).reshape(b, h * w // groups, groups, -1).transpose(1, 2)
        return values.reshape(b, h, w, -1).permute(0, 3, 1, 2)


class Fusion(nn.Module):
    """Join of the classical and the quantum map, both (B, C, 8, 8).

    "concat": side by side, as in the paper. "gated": the same, the quantum channels scaled by a
    learned sigmoid gate each (one half at the start). "film": the quantum map scales and shifts the
    classical one, and the result stays (B, C, 8, 8).
    """

    def __init__(self, channels: int, kind: str):
        super().__init__()
        if kind not in FUSIONS:
            raise ValueError(f"fusion is {kind!r}, but must be one of {', '.join(FUSIONS)}")
        self.kind = kind
        self.out_channels = channels if kind == "film" else 2 * channels
        if kind == "gated":
            self.gate = nn.Parameter(torch.zeros(channels, 1, 1))
        elif kind == "film":
            self.scale_shift = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, classical: Tensor, quantum: Tensor) -> Tensor:
        if self.kind == "film":
            scale, shift = self.scale_shift(quantum).chunk(2, 1)
            return classical * (1 + scale) + shift
        if self.kind == "gated":
            quantum = quantum * torch.sigmoid(self.gate)
        return torch.cat([classical, quantum], 1)


class Decoder(nn.Module):
    """Fused map (B, C, 8, 8) and style (B, 64) to images (B, 3, S, S), a block a doubling."""

    def __init__(self, in_channels: int, size: int, style_dim: int, z_dim: int):
        super().__init__()
        blocks = [Block(in_channels, DECODER_CHANNELS[MAP], style_dim, z_dim, MAP)]
        resolution = MAP
        while resolution < size:
            resolution *= 2
            width = DECODER_CHANNELS[resolution]
            before = DECODER_CHANNELS[resolution // 2]
            blocks.append(Block(before, width, style_dim, z_dim, resolution))
        self.blocks = nn.ModuleList(blocks)
        self.norm = StyleNorm(DECODER_CHANNELS[size], style_dim)
        self.to_rgb = nn.Conv2d(DECODER_CHANNELS[size], 3, 3, padding=1)

    def forward(self, x: Tensor, style: Tensor, z: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, style, z)
        return torch.tanh(self.to_rgb(F.leaky_relu(self.norm(x, style), LEAK)).float())


class Block(nn.Module):
    """Pre-activation residual block, doubling the resolution between its two convolutions.

    The first one so costs a quarter. Noise enters before the second: without it, fine texture has
    to grow out of an 8x8 map, and the images stay smooth (LOG.md has the comparison). The block
    that works at the map's own resolution doubles nothing.
    """

    def __init__(
        self, in_channels: int, out_channels: int, style_dim: int, z_dim: int, resolution: int
    ):
        super().__init__()
        self.upsample = resolution > MAP
        self.norm1 = StyleNorm(in_channels, style_dim)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.texture = Texture(out_channels, resolution, z_dim)
        self.norm2 = StyleNorm(out_channels, style_dim)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor, style: Tensor, z: Tensor) -> Tensor:
        h = self.conv1(F.leaky_relu(self.norm1(x, style), LEAK))
        x = self.skip(x)
        if self.upsample:
            h, x = double(h), double(x)
        return x + self.conv2(F.leaky_relu(self.norm2(self.texture(h, z), style), LEAK))


class Texture(nn.Module):
    """Add one plane of noise to all channels, each with a learned scale.

    As in StyleGAN (Karras et al. 2019, arXiv 1812.04948), but the noise is a fixed projection of
    the latent, so that an image depends on latent and class alone, in training as afterwards, and
    no two images share a pattern. Pixel (r, c) is sum_k z_k R_kr C_kc / sqrt(z_dim) with random
    signs R and C: standard normal for a standard normal z, and all but uncorrelated.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, channels: int, resolution: int, z_dim: int):
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels, 1, 1), 0.1))
        for name in ("rows", "columns"):
            self.register_buffer(name, torch.randn(z_dim, resolution).sign())

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        weighted = (z * z.shape[1] ** -0.5)[:, None] * self.rows.mT  # (B, R, z_dim)
        plane = (weighted @ self.columns)[:, None]  # (B, 1, R, R)
        return torch.addcmul(x, self.scale.to(x.dtype), plane.to(x.dtype))


def double(x: Tensor) -> Tensor:
    """Twice the resolution, bilinearly: repeating pixels leaves a plaid the decoder never sheds."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class StyleNorm(nn.Module):
    """Batch normalisation with scale and shift linear in the style (de Vries, arXiv 1707.00683)."""

    def __init__(self, channels: int, style_dim: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.to_scale_shift = nn.Linear(style_dim, 2 * channels)
        nn.init.zeros_(self.to_scale_shift.bias)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.to_scale_shift(style)[:, :, None, None].chunk(2, 1)
        return torch.addcmul(shift, self.norm(x), 1 + scale)
