"""Which parked messages move back: those that may be served again, those that are too old or whose credentials are
given up, and one for each suspension that lost its probe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.errors import StateRefused, UndecodableMessage
from shared.message import decode, is_account_id
from worker_fn.accounts.suspension import Suspension, holding
from worker_fn.batch.alone import ends_alone
from worker_fn.batch.context import Worker
from worker_fn.batch.job import Job
from worker_fn.batch.prepare import let_go, tell_credentials
from worker_fn.batch.record import Record
from worker_fn.batch.return_times import room_for
from worker_fn.batch.time_limit import at_most, ticking

READ_S = 1.0
"""The time for reading a message's credentials; a message that takes longer, or cannot be read, moves to a worker."""


@dataclass(slots=True)
class Choice:
    """Decides for each parked message whether it moves back."""

    worker: Worker
    suspended: Mapping[str, Sequence[Suspension]]
    """By account."""
    cleared: frozenset[str]
    """Accounts whose suspension was cleared lately."""
    lost: set[str]
    """Suspensions whose probe is lost, by their sort keys."""
    left: int = 0
    """Messages that should move but have to stay: their account has the most messages waiting that it may."""
    oldest_ms: dict[str, int] = field(default_factory=dict)
    """By type, when the oldest message was accepted that stays because its credentials are suspended."""
    _rooms: dict[str, int] = field(default_factory=dict)

    async def moves(self, record: Mapping[str, Any]) -> bool:
        account_id = account_of(record)
        suspensions = self.suspended.get(account_id or "", ())
        job = self._read(record) if suspensions else None
        if job is not None and (suspension := holding(suspensions, job.fingerprints)) is not None:
            return self._moves_held(job, suspension)
        if account_id is None or account_id in self.cleared or await self._has_room(account_id):
            return True
        self.left += 1
        return False

    def _moves_held(self, job: Job, suspension: Suspension) -> bool:
        """Whether a message that a suspension holds up moves all the same; the worker dead-letters it if it has to."""
        now_ms, kind, accepted_ms = self.worker.now_ms(), job.message.type, job.message.received_at_ms
        is_too_old = now_ms - job.begun_ms > 1_000 * self.worker.budgets.age_s(kind)
        if suspension.sk in self.lost:
            self.lost.discard(suspension.sk)
            return True
        if is_too_old or (suspension.is_given_up(now_ms=now_ms) and not job.record.was_dead):
            return True
        self.oldest_ms[kind] = min(accepted_ms, self.oldest_ms.get(kind, accepted_ms))
        return False

    def _read(self, record: Mapping[str, Any]) -> Job | None:
        """A parked message with its credentials; None if it cannot be mapped, so that it moves back in any case."""
        job = Job(Record(record))
        with ends_alone(job), ticking(), at_most(READ_S):
            tell_credentials(job, self.worker)
        let_go(job)
        return None if job.is_over else job

    async def _has_room(self, account_id: str) -> bool:
        """Whether one more of an account's messages may wait by visibility: else it would only be parked again."""
        if account_id not in self._rooms:
            try:
                room = await room_for(account_id, self.worker)
            except StateRefused:  # an impossible account, for which no count is kept
                return True
            self._rooms.setdefault(account_id, room)
        self._rooms[account_id] -= 1
        return self._rooms[account_id] >= 0


def account_of(record: Mapping[str, Any]) -> str | None:
    """The account of a parked message: from its attribute, or, if Spillway did not write that, from its body."""
    said = record["messageAttributes"].get("account_id", {}).get("stringValue")
    if isinstance(said, str) and is_account_id(said):
        return said
    try:
        return decode(record["body"]).account_id
    except UndecodableMessage:
        return None
