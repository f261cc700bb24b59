"""Batched, differentiable quantum circuits in torch.

Start with `layered` (named circuits), `QuantumLayer` (a circuit as an `nn.Module`) and `Circuit`
(any circuit). This package knows no image, no GAN and no file. It needs torch and numpy, and
numba for the fused kernel.
"""

from hqgan.quantum.ansatz import ENCODINGS as ENCODINGS
from hqgan.quantum.ansatz import ENTANGLERS as ENTANGLERS
from hqgan.quantum.ansatz import READOUTS as READOUTS
from hqgan.quantum.ansatz import ROTATIONS as ROTATIONS
from hqgan.quantum.ansatz import layered as layered
from hqgan.quantum.circuit import Circuit as Circuit
from hqgan.quantum.circuit import Expectations as Expectations
from hqgan.quantum.circuit import Operation as Operation
from hqgan.quantum.circuit import Probabilities as Probabilities
from hqgan.quantum.circuit import Slot as Slot
from hqgan.quantum.layer import QuantumLayer as QuantumLayer
from hqgan.quantum.noise import GateNoise as GateNoise
from hqgan.quantum.noise import Noisy as Noisy
from hqgan.quantum.statevector import simulate as simulate
from hqgan.quantum.statevector import state as state
from hqgan.quantum.trajectories import Trajectories as Trajectories
