"""Folders of results that take seconds: one of each kind that `hqgan report` has a page for."""

from pathlib import Path

from hqgan.evaluation import load_extractor
from hqgan.evaluation.run import evaluate_run
from hqgan.report import comparison_page, hardware_page, probe_page
from hqgan.training import train
from hqgan.workflows import probe
from hqgan.workflows.compare import compare, plan
from hqgan.workflows.hardware import Settings, sample
from hqgan.workflows.hardware import plan as order
from hqgan.workflows.hardware.judging import Reference
from hqgan.workflows.privacy import privacy
from small_runs import SIZE, tiny_config, write_folders

# Without circuits, whose first use takes a minute to compile.
SMALL = ("batch=8", "hybridq:generator.twin=zeros", "hybridq:critic.width=8")
NOBODY = Reference(None, "nobody measured it")


def trained(run: Path, data: Path) -> Path:
    """A run that was trained and nothing else, long enough to log numbers."""
    train(tiny_config(1.1, "save_every_kimg=0.5", data=data, batch=16), run)
    return run


def measured(run: Path, data: Path) -> Path:
    """Everything that can be measured of a run, in its folder."""
    tiny = load_extractor(None, "tiny")
    evaluate_run(run, str(data), tiny)
    evaluate_run(run, str(data), tiny, curve=True)
    privacy(run, str(data), tiny, n=70)
    probe_page(probe(run, str(data), tiny, n=8), run / "probe")
    return run


def compared(folder: Path) -> Path:
    """A comparison of two models."""
    data = write_folders(folder / "some data", train=12, held_out=8)
    same = {"kimg": 0.064, "size": SIZE, "extractor": "tiny", "device": "cpu"}
    out = folder / "compared"
    chosen = plan(out, ("hybridq", "dcgan"), data=str(data), assignments=SMALL, **same)
    comparison_page(compare(chosen), chosen, out)
    return out


def ordered(run: Path) -> Path:
    """What a simulated backend made of two images of a run."""
    found = sample(order(run, Settings("shots:64", n=2)), NOBODY)
    assert found is not None
    return hardware_page(found).parent
