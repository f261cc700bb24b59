"""Runs the tests of `quantum/` and `evaluation/metrics.py` on changed copies of the sources.

What makes a mutant cheap: processes are forked from one where torch and the like are loaded; tests
that likely notice come first, and the first failure ends it; the machine code of the circuit kernel
is kept. What keeps that honest:

- hqgan is never loaded before the fork, and must have come from the copy.
- A mutant in the kernel's folder has a machine-code cache of its own, empty at first and thrown
  away: numba does not see that a function called from another file has changed.
- The changed file has another time than the original, whose time and bytes come back afterwards;
  byte code of mutants is not written.
- A test that takes far longer than on the original, and a crash, count as noticed.
- When all is done the tests that failed are run on the original, where they must pass.
"""

import importlib
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
KERNEL = "src/hqgan/quantum/kernel/"
UNCOMPILED = f"{KERNEL}op.py"  # the one file there that no machine code depends on
HEAVY = (
    "torch", "torch._dynamo", "torch.nn.functional", "torch.distributed", "numpy", "scipy.linalg",
    "scipy.stats", "scipy.optimize", "numba", "numba.extending", "hypothesis", "pytest", "pydantic",
    "pennylane", "qiskit", "qiskit.qasm3", "qiskit.transpiler", "qiskit_aer", "qiskit_aer.noise",
    "qiskit_ibm_runtime", "qiskit_ibm_runtime.fake_provider", "safetensors.torch",
)  # fmt: skip
MARKED = "slow or faults or browser or cluster or gpu or hardware or oracle"
GRACE, FACTOR = 30.0, 5.0  # seconds, and times what a test takes on the original, until it hangs
MEMORY = 12 * 2**30  # bytes of address space: a mutant must not take the machine's memory

# Tests that likely notice; the others follow.
LIKELY = {
    "aer": ["aer"],
    "ansatz": ["ansatz", "statevector"],
    "backends": ["backends"],
    "channels": ["noise", "trajectories"],
    "circuit": ["circuit", "statevector", "interop"],
    "devices": ["devices", "backends"],
    "gradients": ["gradients"],
    "layer": ["layer", "gradients", "shots"],
    "lowering": ["noise", "jobs"],
    "noise": ["noise"],
    "pauli_transfer": ["noise"],
    "schedule": ["statevector", "noise"],
    "shots": ["shots"],
    "statevector": ["statevector", "layer", "gradients"],
    "trajectories": ["trajectories"],
    "unravelling": ["trajectories"],
    "interop/": ["interop", "interop_qiskit"],
    "jobs/mitigation": ["mitigation"],
    "jobs/layout": ["layout", "jobs"],
    "jobs/bill": ["jobs", "ibm"],
    "jobs/ibm": ["ibm", "jobs"],
    "jobs/": ["jobs", "mitigation", "layout", "ibm", "backends"],
    "kernel/threads": ["kernel_threads"],
    "kernel/": ["kernel_choices", "kernel", "kernel_threads"],
}
METRICS = "tests/evaluation/test_metrics.py"
# Within the tests of the kernel: what compiles nothing, and then each time little more.
FIRST = (
    "refused",
    "refuses_double",
    "are_called",
    "equal_keys",
    "real_arithmetic",
    "explained_once",
    "test_angles_of_any_size",
    "test_batches_of_any_size[1-1-complex]",
    "test_batches_of_any_size[1-1-real]",
    "test_batches_of_any_size",
    "test_rotations_about_z",
    "test_post_selection",
    "test_any_number_of_lanes",
    "test_every_circuit",
)


def stages(file: str) -> list[list[str]]:
    """Test files in the order in which they are tried; a later stage only if nobody noticed."""
    if "quantum" not in file:
        return [[METRICS]]
    name = file.removeprefix("src/hqgan/quantum/")
    key = next(key for key in LIKELY if name.startswith(key))
    likely = [f"tests/quantum/test_{test}.py" for test in LIKELY[key]]
    every = sorted(str(f.relative_to(ROOT)) for f in (ROOT / "tests/quantum").glob("test_*.py"))
    return [likely, [test for test in every if test not in likely]]


def load_what_is_heavy() -> None:
    """Load what the tests load, but nothing of hqgan, and none of the scripts beside this one."""
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != ROOT / ".ci"]
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", CI="true")
    for name in HEAVY:
        with suppress(ImportError):
            importlib.import_module(name)
    from hypothesis import Phase, settings

    # A failure is enough: no time is spent on making it small.
    phases = [Phase.explicit, Phase.generate, Phase.target]
    settings.register_profile("mutants", deadline=None, derandomize=True, phases=phases)
    if any(name.partition(".")[0] == "hqgan" for name in sys.modules):
        raise RuntimeError("hqgan is loaded already: mutants would not be looked at")


@dataclass(frozen=True)
class Outcome:
    """What came of a mutant: `kind` is failed, hung, crashed, passed, or not run."""

    kind: str
    test: str
    seconds: float

    @property
    def noticed(self) -> bool:
        return self.kind not in ("passed", "not run")

    def __str__(self) -> str:
        return f"{self.kind} {self.test}".strip() + f" ({self.seconds:.0f} s)"


class Observer:
    """A pytest plugin that orders tests, bounds their time, and writes down what happens."""

    def __init__(self, notes: Path, usual: dict[str, float]):
        self.notes, self.usual = notes, usual
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []

    def pytest_sessionstart(self) -> None:
        from hypothesis import settings

        settings.load_profile("mutants")

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        import pytest

        def rank(item: Any) -> int:
            if not item.nodeid.startswith("tests/quantum/test_kernel.py"):
                return 0
            return next((i for i, name in enumerate(FIRST) if name in item.name), len(FIRST))

        files = [item.nodeid.split("::")[0] for item in items]
        order = {file: i for i, file in enumerate(dict.fromkeys(files))}
        items.sort(key=lambda item: (order[item.nodeid.split("::")[0]], rank(item)))
        for item in items if self.usual else []:
            patience = GRACE + FACTOR * self.usual.get(item.nodeid, 0.0)
            item.add_marker(pytest.mark.timeout(patience, method="thread"), append=False)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.write(nodeid, "hung or crashed")

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        self.look(report)

    def pytest_collectreport(self, report: Any) -> None:
        self.look(report)

    def look(self, report: Any) -> None:
        if report.failed and report.nodeid not in self.failed:
            self.failed.append(report.nodeid)
        if self.failed:
            self.write(self.failed[0], "failed")

    def write(self, test: str, state: str) -> None:
        told = {"test": test, "state": state, "failed": self.failed, "seconds": self.seconds}
        self.notes.write_text(json.dumps(told))


class Copy:
    """A copy of the sources in a folder of its own, with its machine code beside it."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        # copy2 keeps the times, which byte code and machine code are recognised by.
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(
            ROOT / "src", self.folder / "src", ignore=ignore, copy_function=shutil.copy2,
            dirs_exist_ok=True,
        )  # fmt: skip
        self.cold: dict[str, float] = {}
        self.warm: dict[str, float] = {}
        self.noticed_by: set[str] = set()

    def baseline(self) -> str:
        """Run all tests on the original: with an empty cache, if there is none yet, and again."""
        known = self.folder / "seconds.json"
        started = time.monotonic()
        if known.exists():
            self.cold = json.loads(known.read_text())
        else:
            shutil.rmtree(self.folder / "numba", ignore_errors=True)
            self.cold = self._must_pass(stages(KERNEL))
            known.write_text(json.dumps(self.cold))
        between = time.monotonic()
        self.warm = self._must_pass([*stages(KERNEL), [METRICS]])
        cold, warm = between - started, time.monotonic() - between
        return f"{len(self.warm)} tests, {cold:.0f} s for compiling, {warm:.0f} s compiled"

    def _must_pass(self, parts: list[list[str]]) -> dict[str, float]:
        seconds: dict[str, float] = {}
        for tests in parts:
            outcome = self._run(tests, self.folder / "numba", {}, every=True)
            if outcome.noticed:
                log = (self.folder / "log").read_text()[-5000:]
                raise RuntimeError(f"the original fails: {outcome}\n{log}")
            seconds |= json.loads((self.folder / "notes").read_text())["seconds"]
        return seconds

    def outcome(self, file: str, code: str) -> Outcome:
        """Put a mutant in, run its tests, and take it out again."""
        target = self.folder / file
        original, stat = target.read_bytes(), target.stat()
        compiled = file.startswith(KERNEL) and file != UNCOMPILED
        cache = self.folder / ("numba-of-mutant" if compiled else "numba")
        usual = {**self.warm, **self.cold} if compiled else self.warm
        started = time.monotonic()
        if compiled:
            shutil.rmtree(cache, ignore_errors=True)
        try:
            target.write_text(code)
            os.utime(target, (stat.st_atime, time.time() + 3600))
            for tests in stages(file):
                found = self._run(tests, cache, usual)
                if found.noticed:
                    self.noticed_by.add(found.test)
                    break
            return Outcome(found.kind, found.test, time.monotonic() - started)
        finally:
            target.write_bytes(original)
            os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            if compiled:
                shutil.rmtree(cache, ignore_errors=True)

    def control(self) -> list[str]:
        """Which of the tests that noticed mutants fail without one, too."""
        tests = sorted(test for test in self.noticed_by if test)
        if not tests or not self._run(tests, self.folder / "numba", self.warm, every=True).noticed:
            return []
        return list(json.loads((self.folder / "notes").read_text())["failed"])

    def _run(
        self, tests: list[str], cache: Path, usual: dict[str, float], every: bool = False
    ) -> Outcome:
        notes, started = self.folder / "notes", time.monotonic()
        notes.unlink(missing_ok=True)
        patience = 600 + FACTOR * sum(usual.values()) if usual else 3600
        child = os.fork()
        if child == 0:
            self._become(tests, cache, Observer(notes, usual), every)
        status = None
        try:
            while status is None and time.monotonic() - started < patience:
                pid, code = os.waitpid(child, os.WNOHANG)
                if pid:
                    status = os.waitstatus_to_exitcode(code)
                else:
                    time.sleep(0.05)
        finally:
            with suppress(ProcessLookupError):  # what tests started, too
                os.killpg(child, signal.SIGKILL)
            if status is None:
                os.waitpid(child, 0)
        told = json.loads(notes.read_text()) if notes.exists() else {"test": "", "state": "?"}
        seconds = time.monotonic() - started
        if status == 0:
            return Outcome("passed", "", seconds)
        if status is not None and status >= NOT_LOOKED_AT:
            raise RuntimeError(f"no test ran: {(self.folder / 'log').read_text()[-5000:]}")
        if told["state"] == "failed":
            return Outcome("failed", told["test"], seconds)
        kind = "hung" if status in (None, 1) else "crashed"
        return Outcome(kind, told["test"], seconds)

    def _become(self, tests: list[str], cache: Path, observer: Observer, every: bool) -> None:
        """The forked process: run pytest and end."""
        code = NOT_LOOKED_AT
        try:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            log = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.chdir(ROOT)
            sys.path.insert(0, str(self.folder / "src"))
            os.environ["PYTHONPATH"] = str(self.folder / "src")
            os.environ["NUMBA_CACHE_DIR"] = str(cache)
            sys.dont_write_bytecode = not every
            if not every:
                os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            import numba
            import pytest

            numba.config.CACHE_DIR = str(cache)
            options = ["-q", "--no-header", "-p", "no:cacheprovider", "-m", f"not ({MARKED})"]
            options += [] if every else ["-x"]
            options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
            options += [f"--basetemp={self.folder / 'tmp'}"]
            status = int(pytest.main([*options, *tests], plugins=[observer]))
            if status == 0:
                observer.write("", "passed")
            # 4 and 5 are for wrong arguments and for no tests.
            loaded = Path(sys.modules["hqgan"].__file__ or "") if "hqgan" in sys.modules else None
            wrong = loaded is not None and not loaded.is_relative_to(self.folder)
            code = NOT_LOOKED_AT if wrong or status in (4, 5) else status
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


NOT_LOOKED_AT = 90
