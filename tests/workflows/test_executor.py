"""Tasks of a comparison: here in order, or on a cluster whose nodes may die.

Worker processes are in test_processes.py.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from hqgan.data.loading import usable_cores
from hqgan.errors import UsageError
from hqgan.training import train
from hqgan.workflows.cell import Cell, Recipe, run_cell
from hqgan.workflows.executor import Executor, run_all
from small_runs import metrics, tiny_config, weights, write_folders
from small_tasks import Number, double, refuse

KIMG = 1.5
PATIENCE = 120  # seconds until both nodes have saved a state


def test_local_tasks_are_done_in_order() -> None:
    tasks = [Number(3), Number(1), Number(2)]
    assert list(run_all(double, tasks)) == [(0, 6), (1, 2), (2, 4)]


def test_a_task_that_fails_raises_what_it_raised_after_what_was_done() -> None:
    answers = run_all(refuse, [Number(1), Number(0)])
    assert next(answers) == (0, 2)
    with pytest.raises(UsageError, match="0 is refused"):
        next(answers)


def test_an_unknown_executor_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'cloud', but must be one of local, processes, ray"):
        Executor("cloud")


def test_workers_are_at_least_one_and_only_of_processes() -> None:
    with pytest.raises(UsageError, match="workers is 0"):
        Executor("processes", 0)
    with pytest.raises(UsageError, match="add --executor processes"):
        Executor("local", 2)


def test_workers_share_the_cores_unless_their_threads_are_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = usable_cores()
    assert (Executor("processes").processes, Executor("processes").threads) == (cores, 1)
    assert Executor("processes", 1).threads == cores
    assert Executor("processes", 3 * cores).threads == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert Executor("processes", 1).threads == 7
    assert Executor("local").threads == 1  # as conftest.py has set


@pytest.fixture
def cluster() -> Iterator[object]:
    """A head without cores and two nodes with one core each, all on this machine."""
    ray = pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        made.add_node(num_cpus=1)
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.mark.cluster
@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_node_that_dies_costs_only_its_unfinished_runs(cluster, tmp_path: Path) -> None:
    """One of two nodes is killed in mid-run: its run is taken up where it was saved, elsewhere."""
    data = write_folders(tmp_path / "data")
    recipe = Recipe(split="val", n=12, curve_n=12, extractor="tiny", seed=0)
    cells = []
    for seed in range(3):
        config = tiny_config(KIMG, f"seed={seed}", data=data)
        folder = tmp_path / f"seed{seed}"
        cells.append(Cell("hybridq", config, str(data), None, folder, folder, recipe))
    answers: dict[int, dict] = {}
    errors: list[Exception] = []

    def work() -> None:
        try:
            answers.update(run_all(run_cell, cells, Executor("ray")))
        except Exception as error:
            errors.append(error)

    worker = Thread(target=work)
    worker.start()
    started = time.monotonic()
    while sum((cell.run / "state.pt").is_file() for cell in cells) < 2:
        assert worker.is_alive(), errors
        assert time.monotonic() - started < PATIENCE
        time.sleep(0.1)
    assert not any((cell.out / "cell.json").is_file() for cell in cells)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    worker.join()
    assert not errors
    assert sorted(answers) == [0, 1, 2]
    for cell in cells:
        assert answers[cell.config.seed]["images_seen"] >= 1000 * KIMG
        unbroken = tmp_path / f"unbroken{cell.config.seed}"
        train(cell.config, unbroken)
        assert weights(cell.run) == weights(unbroken)
        assert metrics(cell.run) == metrics(unbroken)


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore")
def test_a_task_that_fails_on_a_cluster_raises_what_it_raised(cluster, tmp_path: Path) -> None:
    config = tiny_config(0.016, data=tmp_path / "nowhere")
    recipe = Recipe(split="val", n=12, curve_n=12, extractor="tiny", seed=0)
    cell = Cell("hybridq", config, config.data.path, None, tmp_path, tmp_path, recipe)
    with pytest.raises(Exception, match="nowhere") as raised:
        list(run_all(run_cell, [cell], Executor("ray")))
    assert type(raised.value).__name__ == "DataError"
