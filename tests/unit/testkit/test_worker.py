"""A worker of the testkit is the deployed one, but for what it talks to."""

from shared.state import Patient
from testkit.harness import Harness
from testkit.partner_api import PartnerApi
from testkit.simulation.scenario import Fleet
from tests.fakes.echo import Echo
from worker_fn.clients.http import Answer
from worker_fn.settings import Settings

QUEUES = {name: f"https://sqs/1/{name}" for name in ("QUEUE_URL", "DLQ_URL", "PARKING_QUEUE_URL")}


def test_a_worker_has_the_patient_table_and_the_deployed_reserve() -> None:
    """Everything in it leaves a silent table alone, and a batch has as much time for its calls."""
    worker = Harness(Echo(), PartnerApi(Answer(200))).worker
    deployed = Settings.from_env({**QUEUES, "STATE_TABLE": "state"})
    assert isinstance(worker.state, Patient)
    assert worker.suspensions.state is worker.state
    assert {worker.settle_reserve_s, Fleet().settle_reserve_s} == {deployed.settle_reserve_s}
