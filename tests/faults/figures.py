"""The figures that `make faults` prints at its end, of all processes of pytest-xdist together.

A test adds to `figures` what has just been survived, under a name of its own choice:
`figures["full disks: a sentence"] += 1`. Names that begin with a space are parts of the row above,
those with "requests served" in them are requests of the web page, and those that end with MB or ms
are measured, of which the largest is printed; the rest are bad inputs in modules whose names begin
as `BAD_INPUTS` do, faults in all others. A test ends at the first thing that is not survived, so
each one that fails has lost one.
"""

import time
from collections import Counter, defaultdict
from typing import Any

import pytest

Figures = defaultdict[str, Counter[str]]  # by kind
FIGURES: pytest.StashKey[Figures] = pytest.StashKey()
STARTED: pytest.StashKey[float] = pytest.StashKey()
FAULTS, INPUTS, REQUESTS = "faults", "bad inputs", "requests"
BAD_INPUTS = (
    "test_bad_",
    "test_configurations",
    "test_tampered_",
    "test_hostile_",
    "test_nothing_",
)
MEASURED = (", MB", ", ms")
LOAD, SERVED = "test_web_load", "requests served"
# Modules whose tests are one fault each, and what they survived.
ONE_EACH = {
    "test_executor": "nodes of a cluster killed: the same results, nothing done twice",
    "test_interrupts": "commands stopped by Ctrl-C: what there was is kept",
    "test_processes": "worker processes and their parents ended by signals: nothing is lost",
}
# What is said of those that were tried, survived and lost.
WORDS = {
    FAULTS: "faults injected {tried:,}, survived {survived:,}, lost {lost:,}",
    INPUTS: "bad inputs tried {tried:,}, crashed {lost:,}",
    REQUESTS: "requests served under load {survived:,}, lost {lost:,}",
}


def kind(module: str) -> str:
    """Of what is counted in a module, by its name without folders."""
    if module == LOAD:
        return REQUESTS
    return INPUTS if module.startswith(BAD_INPUTS) else FAULTS


def summed(name: str, key: str) -> str | None:
    """The kind that a row counts for; None for parts of other rows, and for what is no number."""
    if name.startswith(" ") or name.endswith(MEASURED):
        return None
    if SERVED in name:
        return REQUESTS
    return FAULTS if key == REQUESTS else key


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = defaultdict(Counter)
    config.stash[STARTED] = time.perf_counter()


@pytest.fixture(scope="module")
def figures(request: pytest.FixtureRequest) -> Counter[str]:
    """Counts by name; a test adds what was survived."""
    return request.config.stash[FIGURES][kind(request.path.stem)]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Of a process of pytest-xdist: send its figures to the one that prints them."""
    sent: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if sent is not None:
        sent["faults"] = {key: dict(found) for key, found in session.config.stash[FIGURES].items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Add what a process of pytest-xdist has sent."""
    for key, found in getattr(node, "workeroutput", {}).get("faults", {}).items():
        counted = node.config.stash[FIGURES][key]
        for name, count in found.items():
            seen = counted[name]
            counted[name] = max(seen, count) if name.endswith(MEASURED) else seen + count


def reports(reporter: pytest.TerminalReporter, *outcomes: str) -> list[pytest.TestReport]:
    """Of tests that ended so."""
    found = [report for outcome in outcomes for report in reporter.stats.get(outcome, ())]
    return [report for report in found if isinstance(report, pytest.TestReport)]


def module(report: pytest.TestReport) -> str:
    """The name of the module of a test, without folders."""
    return report.nodeid.split("::")[0].rsplit("/", 1)[-1].removesuffix(".py")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    counted = config.stash[FIGURES]
    for report in reports(terminalreporter, "passed"):
        if report.when == "call" and "faults" in report.keywords and module(report) in ONE_EACH:
            counted[FAULTS][ONE_EACH[module(report)]] += 1
    broken = Counter(kind(module(one)) for one in reports(terminalreporter, "failed", "error"))
    if not any(counted.values()):
        return
    terminalreporter.section("what was tried, and survived")
    survived: Counter[str] = Counter()
    for key in WORDS:
        for name, count in counted[key].items():
            terminalreporter.line(f"{count:9,}  {name}")
            if (of := summed(name, key)) is not None:
                survived[of] += count
    for key, words in WORDS.items():
        lost = broken[key]
        if tried := survived[key] + lost:
            text = words.format(tried=tried, survived=survived[key], lost=lost)
            terminalreporter.line(text, red=bool(lost), green=not lost)
    terminalreporter.line(f"time {time.perf_counter() - config.stash[STARTED]:,.0f} s")
