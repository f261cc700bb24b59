"""Models: weights and shapes, without loss, optimiser, data or paths but that of a snapshot."""

from hqgan.models.about import About as About
from hqgan.models.about import Origin as Origin
from hqgan.models.about import read_about as read_about
from hqgan.models.critic import Critic as Critic
from hqgan.models.critic import ProjectionCritic as ProjectionCritic
from hqgan.models.generator import Generator as Generator
from hqgan.models.hybridq import HybridQGenerator as HybridQGenerator
from hqgan.models.hybridq_v1 import HybridQV1Generator as HybridQV1Generator
from hqgan.models.mediq_v2 import MediqV2Generator as MediqV2Generator
from hqgan.models.registry import build_critic as build_critic
from hqgan.models.registry import build_generator as build_generator
from hqgan.models.registry import parameter_count as parameter_count
from hqgan.models.snapshot import find_snapshot as find_snapshot
from hqgan.models.snapshot import generate as generate
from hqgan.models.snapshot import latents as latents
from hqgan.models.snapshot import load_snapshot as load_snapshot
from hqgan.models.snapshot import save_snapshot as save_snapshot
from hqgan.models.snapshot import snapshot_in as snapshot_in
from hqgan.models.snapshot import snapshots as snapshots
from hqgan.models.walking import truncated as truncated
from hqgan.models.walking import walk as walk
