"""Two processes (gloo, CPU) train one model: equal weights, one run folder, one voice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hqgan.training import load_state
from small_runs import write_folders

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
PROCESSES = 2

# Steps a tiny trainer in each process and compares notes.
PROGRAM = """
import json, sys, torch
torch.set_num_threads(1)
from hqgan.training.fabric import leave_group, make_fabric
from hqgan.training.adversarial import AdversarialTrainer
from small_runs import tiny_config, tiny_dataset

fabric = make_fabric("cpu", "float32")
trainer = AdversarialTrainer(tiny_config(), tiny_dataset(), fabric)
for p in trainer.critic_parameters:
    p.grad = torch.full_like(p, 1.0 + fabric.global_rank)
trainer.average_gradients(trainer.critic_parameters)
means = {p.grad.unique().item() for p in trainer.critic_parameters}
trainer.critic_optimiser.zero_grad()
share = len(trainer.draw(torch.Generator().manual_seed(0))[1])
logs = [trainer.step(8 * k) for k in range(3)]
parameters = [*trainer.generator.parameters(), *trainer.critic.parameters()]
flat = torch.cat([p.detach().flatten() for p in parameters])
both = fabric.all_gather(flat)
critics = fabric.all_gather(torch.tensor([log["critic_loss"] for log in logs]))
if fabric.global_rank == 0:
    print(json.dumps({
        "means": sorted(means), "share": share, "generated": trainer.images_generated,
        "equal": torch.equal(both[0], both[1]), "logs": torch.equal(critics[0], critics[1]),
    }))
leave_group()
"""


def torchrun(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    here = str(Path(__file__).parents[1])
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [*launcher, f"--nproc-per-node={PROCESSES}", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_gradients_are_averaged_and_weights_stay_equal(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = torchrun(program)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {"means": [1.5], "share": 4, "generated": 24, "equal": True, "logs": True}


def test_the_command_writes_one_run_and_speaks_once(tmp_path: Path) -> None:
    data, run = write_folders(tmp_path / "data"), tmp_path / "run"
    settings = ("critic.width=8", "generator.qubits=2", "save_every_kimg=0.016", "device=cpu")
    flags = [f"--data={data}", f"--out={run}", "--size=32", "--batch=8", "--json"]
    command = ["-m", "hqgan.cli", "train", *flags, *(f"--set={s}" for s in settings)]
    done = torchrun(*command, "--kimg=0.04")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images_seen"] == 40
    assert json.loads((run / "env.json").read_text())["processes"] == PROCESSES
    more = torchrun(*command, "--kimg=0.064")
    assert more.returncode == 0, more.stderr
    assert json.loads(more.stdout)["images_seen"] == 64
    assert load_state(run)["images_seen"] == 64
    odd = torchrun(*command, "--kimg=0.08", "--batch=9")
    assert odd.returncode == 1
    assert "batch is 9" in odd.stderr
