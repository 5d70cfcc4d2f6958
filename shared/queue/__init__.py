"""How both functions talk to SQS: `sender` is how ingest enqueues, `worker_queue` how the worker settles what it
received, `attributes` what travels beside a body, and in one batch. ops/operate/dlq/queues.py has an operator's access
to dead letters.

Each function loads only its own side: the other one's libraries would be a tenth of its cold start.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.queue.sender import SEND_ATTEMPTS, SEND_BUDGET_S, Outgoing, Sender
    from shared.queue.worker_queue import MAX_VISIBILITY_S, WorkerQueue

__all__ = ["MAX_VISIBILITY_S", "SEND_ATTEMPTS", "SEND_BUDGET_S", "Outgoing", "Sender", "WorkerQueue"]

_OF_THE_WORKER = frozenset({"MAX_VISIBILITY_S", "WorkerQueue"})


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{'worker_queue' if name in _OF_THE_WORKER else 'sender'}"), name)
