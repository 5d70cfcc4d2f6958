"""The order of a batch's messages: light ones first, a FIFO group and a partner's lane in their own order."""

from collections.abc import Sequence
from itertools import takewhile

from worker_fn.accounts.suspensions import Place
from worker_fn.batch.disposition import Waiting
from worker_fn.batch.job import Job

LaneKey = tuple[str | None, str]
"""A lane's account, and the lane's name within it."""


class Ordering:
    """The order of one batch. `in_groups`: a FIFO queue; `in_lanes`: the partner says which messages go in order."""

    def __init__(self, jobs: Sequence[Job], *, in_groups: bool, in_lanes: bool) -> None:
        self._jobs = jobs
        self._in_groups = in_groups
        self._in_lanes = in_lanes
        self._stopped: set[LaneKey] = set()
        """Lanes in which a message waits."""
        self._first: dict[LaneKey, Job] = {}
        """For each lane the message that is being mapped."""

    def lane_of(self, job: Job) -> LaneKey | None:
        """The lane that a message shares with others."""
        if self._in_groups:
            return (job.message.account_id, job.record.group) if job.record.group else None
        return (job.message.account_id, job.lane) if self._in_lanes and job.lane is not None else None

    def in_turn(self) -> list[Job]:
        """The messages in their order: half-mapped ones first, then light ones before heavy ones. In a FIFO queue a
        group's weight is that of its heaviest message so far.
        """
        weights: dict[str, int] = {}
        keys: dict[int, tuple[bool, int]] = {}
        for index, job in enumerate(self._jobs):
            weight = job.weight
            if self._in_groups:
                weight = weights[job.record.group] = max(weight, weights.get(job.record.group, 0))
            keys[index] = (job.source is None, weight)
        order = sorted(range(len(self._jobs)), key=keys.__getitem__)
        return [self._jobs[index] for index in order if self._jobs[index].place is Place.SEND]

    def stop(self, job: Job) -> None:
        """Stop a message: nothing more of it is sent, nor of the messages behind it."""
        job.is_stopped = True
        if (key := self.lane_of(job)) is not None:
            self._stopped.add(key)

    def may_go(self, job: Job) -> bool:
        """Whether a message may go now: no earlier message of its group is left, and none of its lane is half mapped.
        Stops a message that is behind one that waits.
        """
        key = self.lane_of(job)
        if key is None:
            return not job.is_stopped
        if key in self._stopped:
            self.stop(job)
            return False
        if self._in_groups:
            return self._is_first(job)
        first = self._first.get(key)
        if first is None or first.is_over or first.is_mapped or first.place is not Place.SEND:
            first = self._first[key] = job
        return first is job

    def _is_first(self, job: Job) -> bool:
        """On a FIFO queue: whether no earlier message of the group is left; behind a later release's one it waits."""
        for other in takewhile(lambda other: other is not job, self._jobs):
            if other.record.group != job.record.group:
                continue
            if isinstance(other.end, Waiting):
                job.end = other.end
                return False
            if other.is_stopped:
                self.stop(job)
                return False
            if not other.is_over and not other.is_mapped and other.place is Place.SEND:
                return False
        return True
