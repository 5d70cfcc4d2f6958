"""How both functions talk to SQS: `sender` is ingest's way in, `worker_queue` the worker's way to settle what it
received, `attributes` what travels beside a body. An operator's dead letters are of ops/operate/dlq/queues.py.
"""

from shared.queue.sender import SEND_ATTEMPTS, SEND_BUDGET_S, Outgoing, Sender
from shared.queue.worker_queue import ENTRIES, MAX_VISIBILITY_S, WorkerQueue

__all__ = ["ENTRIES", "MAX_VISIBILITY_S", "SEND_ATTEMPTS", "SEND_BUDGET_S", "Outgoing", "Sender", "WorkerQueue"]
