"""Jobs that train and evaluate."""

from hqgan.workflows.demo import Demo as Demo
from hqgan.workflows.demo import demo as demo
from hqgan.workflows.probe import probe as probe
from hqgan.workflows.sample import Sampled as Sampled
from hqgan.workflows.sample import sample as sample
