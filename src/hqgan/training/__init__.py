"""Training: what changes weights. It meets evaluation only through the run folder."""

from hqgan.errors import Interrupted as Interrupted
from hqgan.training.loop import Callbacks as Callbacks
from hqgan.training.loop import Result as Result
from hqgan.training.loop import train as train
from hqgan.training.runs import RunFolder as RunFolder
from hqgan.training.runs import load_state as load_state
