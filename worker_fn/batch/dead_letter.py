"""What stands in a dead letter beside the message's body: SQS message attributes, ten at most."""

from collections.abc import Mapping

from worker_fn.batch.disposition import DeadLetter
from worker_fn.batch.job import Job


def message_attributes(job: Job, partner: str) -> dict[str, str]:
    """What a dead letter tells of its message, however it ends."""
    return {
        "partner": partner,
        "type": job.kind,
        "account_id": job.message.account_id or "",
        "first_received_ms": job.first_received_ms,
        **job.redrives,
    }


def letter_attributes(attributes: Mapping[str, str], letter: DeadLetter) -> dict[str, str]:
    """The attributes of a dead letter, the most important first; SQS takes no empty values."""
    full = {
        "reason": str(letter.reason),
        "error": letter.error[:256],
        "status": "" if letter.status is None else str(letter.status),
        **attributes,
        "attempts": str(letter.attempts),
    }
    return {name: value for name, value in full.items() if value}
