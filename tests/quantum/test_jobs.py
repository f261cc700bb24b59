"""Jobs: what is ordered and billed, packing, what comes back, and what may go wrong on the way."""

import json
import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hqgan.errors import UsageError
from hqgan.quantum import Circuit, Expectations, Operation, Probabilities, layered, simulate
from hqgan.quantum.backends import Bill, Device, DeviceError, Order, Status, open_backend
from hqgan.quantum.jobs import device as module
from hqgan.quantum.jobs import estimating, sampling
from hqgan.quantum.jobs.packing import copies, items_of, measured, rows_of
from hqgan.quantum.lowering import lower
from random_circuits import angles

pytest.importorskip("qiskit_aer")
pytest.importorskip("qiskit_ibm_runtime")

DEVIATIONS = 5
SHOTS = 4000
ROUNDING = 1e-8
NOISE = 0.1


def device(spec: str = "fake:marrakesh", **options: Any) -> Device:
    opened = open_backend(spec, **{"shots": SHOTS, **options})
    assert isinstance(opened, Device)
    return opened


def order_of(circuit: Circuit, on: Device, samples: int = 3, count: int = 2) -> Order:
    inputs, weights = angles(circuit, 0, samples, count)
    return on.order(circuit, inputs, weights)


class Scripted:
    """A service of noiseless shots whose statuses and failures are given."""

    name = "scripted"

    def __init__(self, *statuses: Status | DeviceError):
        self.statuses = list(statuses)
        self.sent: list[dict[str, Any]] = []

    def backend(self) -> Any:
        from hqgan.quantum.devices import fake_device

        return fake_device("manila")

    def run(self, pubs: list[Any], **given: Any) -> str:
        from qiskit.primitives import StatevectorSampler

        self.sent.append(given)
        self.answer = StatevectorSampler(seed=1).run(pubs, shots=given["shots"]).result()
        return "job 1"

    def find(self, tag: str) -> list[str]:
        return ["job 1" for sent in self.sent if sent["tag"] == tag]

    def status(self, job_id: str) -> Status:
        status = self.statuses.pop(0)
        if isinstance(status, DeviceError):
            raise status
        return status

    def result(self, job_id: str) -> Any:
        return self.answer

    def qpu_seconds(self, job_id: str) -> float | None:
        return 2.5


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 3), st.integers(1, 7))
def test_items_come_back_from_the_rows_they_were_put_in(
    circuits: int, samples: int, width: int, lines: int
) -> None:
    items = np.random.default_rng(0).random((circuits, samples, width))
    rows = rows_of(items, lines)
    assert rows.shape == (-(-circuits * samples // lines), lines * width)
    back = items_of(rows.reshape(len(rows), lines, width), circuits, samples)
    np.testing.assert_array_equal(back, items)


def test_with_a_line_for_each_circuit_a_row_is_a_sample() -> None:
    items = np.arange(6.0).reshape(3, 2, 1)  # C = 3, B = 2
    np.testing.assert_array_equal(rows_of(items, 3), items[:, :, 0].T)


@pytest.mark.parametrize("readout", ["z+x", "zz", "z+zz"])
def test_packed_values_are_those_of_the_circuits_one_by_one(readout: str) -> None:
    """Three circuits of two qubits side by side, exact: no angle or word on another's line."""
    from qiskit.primitives import StatevectorEstimator

    circuit = layered(2, 2, encoding="ry+rx", rotation="rot", readout=readout)
    inputs, weights = angles(circuit, 1, samples=2, count=3)
    lowered = lower(circuit)
    rows = rows_of(lowered.angles(inputs, weights).detach().numpy(), 3)
    order = replace(order_of(circuit, device()), circuits=3, samples=2, angles=rows)
    order = replace(order, lines=((0, 1), (2, 3), (4, 5)))
    programs = estimating.programs(lowered.circuit, 3, frozenset(), lambda one: one)
    pubs = [(*pub[:3], 0.0) for pub in estimating.pubs(order, programs)]
    values, _, _ = estimating.read(order, StatevectorEstimator().run(pubs).result())
    exact = simulate(circuit, inputs, weights).detach().numpy()
    np.testing.assert_allclose(values, exact, atol=ROUNDING)


@settings(max_examples=5, deadline=None)
@given(st.sampled_from(["z+x", "zz", "postselected", "probabilities"]), st.booleans())
def test_a_packed_job_gives_the_values_of_each_circuit(readout: str, pack: bool) -> None:
    circuit = layered(3, 1, encoding="ry+rx", rotation="rot", readout=readout)
    inputs, weights = angles(circuit, 2, samples=2, count=3)
    on = Device(Scripted("done"), shots=SHOTS, pack=pack)
    order = on.order(circuit, inputs, weights)
    found = on.wait(order, on.submit(order, "tag"))
    error = (found.values - simulate(circuit, inputs, weights)).abs()
    assert (error < DEVIATIONS * found.errors.clamp_min(SHOTS**-0.5)).all()
    torch.testing.assert_close(found.raw, found.values)


def test_a_batch_is_one_pub_for_each_basis_with_all_rows() -> None:
    circuit = layered(2, 1, readout="z+x")
    order = order_of(circuit, device(), samples=40)  # 80 items
    rows, lines = len(order.angles), len(order.lines)
    assert lines > 30
    assert rows == -(-80 // lines)
    pubs = sampling.pubs(order, list(sampling.programs(lower(circuit).circuit, lines, *PLAIN)))
    assert len(pubs) == 2
    assert {pub[1].shape for pub in pubs} == {(rows, lines * lower(circuit).circuit.inputs)}
    assert len({qubit for line in order.lines for qubit in line}) == 2 * lines


PLAIN = frozenset[str](), lambda one: one


def test_without_packing_there_is_one_line() -> None:
    order = order_of(layered(2, 1), device(pack=False))
    assert len(order.lines) == 1
    assert len(order.angles) == 6


def test_no_line_stays_empty() -> None:
    """Six items on a device of two lines take three rows; four items on seven lines, one."""
    assert order_of(layered(2, 1), device("fake:manila")).angles.shape[0] == 3
    assert len(order_of(layered(2, 1), device(), samples=2).lines) == 4


def test_the_bill_multiplies_as_it_says() -> None:
    circuit = layered(2, 2, readout="z+x", final_rotation=True)
    bill = order_of(circuit, device("fake:manila", mitigation="trex+zne", shots=100)).bill
    assert bill.backend == "fake_manila"
    assert bill.calibrated is not None
    assert bill.calibrated.startswith("20")
    assert (bill.circuits, bill.bases, bill.shots) == (9, 2, 100)
    assert bill.two_qubit_gates == 4  # two lines with two entanglers each
    assert "9 circuits x 2 bases and 2 for read-out calibration" in bill.formula
    delay, shortest, longest = 250e-6, 5e-6, 12e-6
    assert 20 * 100 * (delay + shortest) < bill.qpu_seconds < 20 * 100 * (delay + longest)
    assert Bill.from_dict(json.loads(json.dumps(bill.to_dict()))) == bill


def test_an_order_survives_a_crash() -> None:
    """Through json and an array, or pickle, it gives the same values of the same answer."""
    on = device()
    order = order_of(layered(2, 1, readout="postselected"), on)
    written = json.loads(json.dumps(order.to_dict()))
    for again in (Order.from_dict(written, order.angles), pickle.loads(pickle.dumps(order))):
        assert again.sha256 == order.sha256
        job = on.submit(again, "tag")
        first, second = (on.wait(each, job).values for each in (order, again))
        torch.testing.assert_close(first, second, rtol=0, atol=0)
    with pytest.raises(ValueError, match="not an order"):
        Order.from_dict({"backend": "x"}, order.angles)


def test_an_order_cannot_be_changed_once_its_bill_is_known() -> None:
    order = order_of(layered(2, 1), device())
    with pytest.raises(FrozenInstanceError):
        order.shots = 10 * SHOTS  # type: ignore[misc]


def test_the_fingerprint_is_of_what_is_asked() -> None:
    circuit = layered(2, 1)
    first, again = order_of(circuit, device()), order_of(circuit, device())
    assert first.sha256 == again.sha256
    assert first.sha256 != order_of(circuit, device(shots=SHOTS + 1)).sha256
    assert first.sha256 != replace(first, angles=first.angles + 1).sha256


def test_a_job_is_found_by_its_tag_and_only_there() -> None:
    on = device("fake:manila")
    order = order_of(layered(2, 1), on)
    job = on.submit(order, "mine")
    assert on.find("mine") == [job]
    assert on.find("other") == []
    on.wait(order, job)
    assert on.status(job) == "done"
    with pytest.raises(DeviceError, match="does not know the job"):
        device("fake:manila").status(job)


def test_the_ceiling_is_kept_before_anything_is_sent_and_handed_on() -> None:
    service = Scripted()
    on = Device(service, shots=1000)
    order = order_of(layered(2, 1), on)
    with pytest.raises(UsageError, match="more than the ceiling"):
        on.submit(order, "tag", ceiling=order.bill.qpu_seconds / 2)
    assert not service.sent
    on.submit(order, "tag", ceiling=60)
    assert service.sent == [
        {"shots": 1000, "tag": "tag", "methods": frozenset(), "ceiling": 60},
    ]
    on.whole_seconds = True
    due = order.bill.qpu_seconds
    dear = replace(order, bill=replace(order.bill, qpu_seconds=due + 9.5 - due % 1))
    with pytest.raises(UsageError, match="more than the ceiling of"):  # of whole seconds
        on.submit(dear, "tag", ceiling=dear.bill.qpu_seconds + 0.4)
    assert len(service.sent) == 1
    with pytest.raises(ValueError, match="cannot be sent to scripted"):
        on.submit(replace(order, backend="ibm:other"), "tag")


def test_failures_of_the_network_are_waited_out_and_others_are_not() -> None:
    away = DeviceError("no network", transient=True)
    on = Device(Scripted("queued", away, away, "running", "done"), shots=100)
    order = order_of(layered(2, 1), on)
    found = on.wait(order, on.submit(order, "tag"))
    assert found.qpu_seconds == 2.5
    assert found.mitigation == "none"
    on = Device(Scripted("queued", DeviceError("the account was closed")), shots=100)
    with pytest.raises(DeviceError, match="account was closed"):
        on.wait(order, on.submit(order, "tag"))
    assert pickle.loads(pickle.dumps(away)).transient


def test_only_failures_in_a_row_use_up_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.001)
    row = [DeviceError("no network", transient=True)] * module.PATIENCE
    on = Device(Scripted(*row, "running", *row, "done"), shots=100)
    order = order_of(layered(2, 1), on)
    assert on.wait(order, on.submit(order, "tag")).qpu_seconds == 2.5
    on = Device(Scripted(*row, row[0], "done"), shots=100)
    with pytest.raises(DeviceError, match="no network"):
        on.wait(order, on.submit(order, "tag"))


def test_what_a_vendor_raises_is_passed_on_in_words() -> None:
    on = device("python:device_factories:generic")
    order = order_of(layered(2, 1), on)
    broken = replace(order, shots=-1)
    job = on.submit(broken, "tag")
    with pytest.raises(DeviceError, match="failed: "):
        on.wait(broken, job)
    assert on.status(job) == "error"


@pytest.mark.parametrize("pack", [True, False])
def test_a_circuit_that_does_not_fit_is_refused(pack: bool) -> None:
    with pytest.raises(UsageError, match="line of 6 coupled qubits, and fake_manila, of 5 qubits"):
        order_of(layered(6, 1), device("fake:manila", pack=pack))
    with pytest.raises(UsageError, match=r"line of 3 coupled qubits, and .*of 2 qubits"):
        order_of(layered(3, 1), device("python:device_factories:small", pack=pack))
    with pytest.raises(UsageError, match="empty"):
        order_of(layered(2, 1), device("fake:manila", pack=pack), samples=0)


def test_a_ring_does_not_lie_on_a_line() -> None:
    with pytest.raises(UsageError, match="chain, not a ring"):
        order_of(layered(4, 1, entangler="cz_ring", final_rotation=True), device())


def test_an_estimator_refuses_probabilities() -> None:
    circuit = layered(2, 1, readout="probabilities")
    with pytest.raises(UsageError, match="reads probabilities"):
        order_of(circuit, device("python:device_factories:bare_estimator"))


def test_a_circuit_without_angles_runs() -> None:
    bell = (Operation("h", (0,)), Operation("cnot", (0, 1)))
    circuit = Circuit(2, bell, Expectations(("ZZ", "XX", "YY")))
    values = device("fake:manila")(circuit, torch.zeros(1, 3, 0), torch.zeros(2, 0))
    target = torch.tensor([1.0, 1.0, -1.0]).expand(2, 3, 3)
    assert (values - target).abs().max() < 2 * NOISE


def test_copies_keep_each_other_s_angles_apart() -> None:
    circuit = lower(layered(2, 1)).circuit
    packed = copies(circuit, 2)
    names = [str(i.operation.params[0]) for i in packed.data if i.operation.params]
    assert sorted(names) == [f"x[{k}]" for k in range(2 * circuit.inputs)]
    assert [r.name for r in measured(circuit, 2)[0].cregs] == ["line0", "line1"]


def test_probabilities_have_one_basis() -> None:
    order = order_of(Circuit(2, layered(2, 1).operations, Probabilities((0,), (1,))), device())
    assert order.bill.bases == 1
