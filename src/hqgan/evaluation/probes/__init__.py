"""Probes: does the quantum part of a generator matter, and what could its circuits do?

| question | measured by | file |
| --- | --- | --- |
| does the decoder use the circuits' values? | replacing them at inference | streams.py |
| how much of the images' variance do they explain? | Sobol' indices of the streams | streams.py |
| in how many directions do streams and images vary? | effective ranks | ranks.py |
| can the circuits be trained if they grow? | variance of a gradient | families.py |
| how much of state space do they reach? | expressibility, entangling capability | states.py |

`probe_generator` takes all of them.
"""

from hqgan.evaluation.probes.circuits import CircuitProbe as CircuitProbe
from hqgan.evaluation.probes.circuits import probe_circuits as probe_circuits
from hqgan.evaluation.probes.estimates import Estimate as Estimate
from hqgan.evaluation.probes.families import GradientVariance as GradientVariance
from hqgan.evaluation.probes.probe import GeneratorProbe as GeneratorProbe
from hqgan.evaluation.probes.probe import Judge as Judge
from hqgan.evaluation.probes.probe import Probe as Probe
from hqgan.evaluation.probes.probe import Probed as Probed
from hqgan.evaluation.probes.probe import probe_generator as probe_generator
from hqgan.evaluation.probes.probe import verdict as verdict
from hqgan.evaluation.probes.ranks import Spectrum as Spectrum
from hqgan.evaluation.probes.streams import quantum_block as quantum_block
