"""What would become of a letter that is sent again: the worker's own code on the deployed partner's mapping.

As in `spillway partner replay` the whole worker runs, with an API that takes every call. In addition there is what only
the stage knows: which credentials are suspended, and which deliveries of a letter have arrived already.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ops.operate.dlq.letters import Letter
from ops.operate.stack import Stack
from partners import DEFAULT_PARTNER, Delivery, Partner, PartnerBroken, load_partner
from shared.errors import InvalidSettings, StateUnavailable
from shared.firehose import parse_request
from shared.message import Message
from shared.state import SUSPENDED, State, progress_key
from shared.stored import references, without_stored
from testkit.harness import Harness
from testkit.partner_api import PartnerApi
from testkit.records import id_of
from worker_fn.accounts.fingerprint import fingerprint
from worker_fn.accounts.suspension import Suspension, by_account, holding
from worker_fn.batch.disposition import Reason
from worker_fn.clients.http import Answer

PLANNED_AT_ONCE = 10
"""Letters that the worker in memory has in one batch."""
LOOKED_AT = 100
"""The most deliveries of a letter that are counted, and whose credentials are checked."""
TAKEN = Answer(200, body=b"{}")
TIME_S = 900.0
"""The time for ten letters on the simulated clock: Lambda's longest time-out."""


Named = Callable[[Mapping[str, str]], str]


def only_its_name(env: Mapping[str, str]) -> str:
    return env.get("PARTNER") or DEFAULT_PARTNER


class Fate(StrEnum):
    """In the order in which a plan names them."""

    SENT = "sent"
    RESUMES = "resumes"
    NO_CALL = "no call"
    SUSPENDED = "suspended"
    UNMAPPABLE = "unmappable"
    UNREADABLE = "unreadable"
    NOT_TRIED = "not tried"


COMES_BACK = frozenset({Fate.UNMAPPABLE, Fate.UNREADABLE})
"""Fates of letters that would be back in the dead-letter queue at once."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What would become of one letter. `error` is in the worker's words; `calls` are those that it would make."""

    fate: Fate
    calls: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Deployed:
    """The live worker's partner, as this checkout has it; None: it cannot be loaded here, and why."""

    partner: Partner | None
    name: str
    commit: str = "unknown"
    problem: str = ""
    fingerprint: Callable[[Delivery], str] | None = field(default=None, repr=False)
    """Fingerprints credentials as the live worker does; None if some of them are kept in a store."""


def deployed_partner(stack: Stack, named: Named = only_its_name) -> Deployed:
    """The stage's partner, with the settings of its live worker; `named` says where these deliver."""
    try:
        found = stack.client("lambda").get_function_configuration(FunctionName=stack.output("WorkerAliasArn"))
    except (BotoCoreError, ClientError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        return Deployed(None, "an unknown partner", problem=f"the live worker's settings cannot be read ({code})")
    return partner_of(found.get("Environment", {}).get("Variables", {}), named)


def partner_of(env: Mapping[str, str], named: Named = only_its_name) -> Deployed:
    """The partner of a worker with this environment."""
    name, commit = named(env), env.get("COMMIT", "unknown")
    try:
        partner = load_partner(without_stored(env))
        is_whole = not references(env)
    except PartnerBroken as error:  # what and where: a text may quote a variable's value
        return Deployed(None, name, commit, f"it cannot be loaded here: {error.said.partition(': ')[0]}")
    except InvalidSettings as error:
        return Deployed(None, name, commit, f"it cannot be loaded here: {error}")
    key = (env.get("STACK_ID") or env.get("QUEUE_URL", "")).encode()
    tell = (lambda delivery: fingerprint(delivery, key=key)) if is_whole else None
    return Deployed(partner, name, commit, fingerprint=tell)


class Forecaster:
    """Says what would become of letters; without the state table not what only that knows (`is_blind`)."""

    def __init__(self, deployed: Deployed, state: State) -> None:
        self._deployed, self._state = deployed, state
        self.is_blind = False
        try:
            self._suspended = by_account(asyncio.run(state.listed(SUSPENDED)))
        except StateUnavailable:
            self._suspended, self.is_blind = {}, True

    def of(self, letters: Sequence[Letter]) -> list[Forecast]:
        """What would become of a few letters, in their order."""
        if self._deployed.partner is None:
            return [Forecast(Fate.NOT_TRIED) for _ in letters]
        mapped = [self._mapped(letter, end) for letter, end in zip(letters, self._ends(letters), strict=True)]
        resumes = asyncio.run(self._which_resume(letters, mapped))
        return [Forecast(Fate.RESUMES, one.calls) if begun else one for one, begun in zip(mapped, resumes, strict=True)]

    def _ends(self, letters: Sequence[Letter]) -> Iterator[Forecast | None]:
        """The end that the worker in memory gives each letter; None for one that it delivers."""
        worker = Harness(self._deployed.partner, PartnerApi(TAKEN), max_in_flight=1)  # type: ignore[arg-type]
        worker.work([letter.body for letter in letters], receives=1, time_s=TIME_S)
        for number in range(len(letters)):
            end = worker.queue.ends[id_of(number)]
            if end.how == "dead-lettered":
                is_unread = end.reason == Reason.UNDECODABLE
                yield Forecast(Fate.UNREADABLE if is_unread else Fate.UNMAPPABLE, error=end.error)
            elif end.how == "waiting":
                yield Forecast(Fate.UNREADABLE, error="of a later release: promote a worker that reads it")
            else:
                yield None

    def _mapped(self, letter: Letter, end: Forecast | None) -> Forecast:
        message, partner = letter.message, self._deployed.partner
        if end is not None or message is None or partner is None:
            return end or Forecast(Fate.UNREADABLE)
        try:
            request = parse_request(message.payload, only=partner.reads)
            calls = (one for one in partner.deliveries(request) if isinstance(one, Delivery))
            found = list(islice(calls, LOOKED_AT))
        except Exception as error:  # a partner's code may raise anything, a second time if not the first
            return Forecast(Fate.UNMAPPABLE, error=type(error).__name__)
        suspensions = self._suspended.get(message.account_id or "", [])
        if suspensions and self._holds_up(suspensions, found):
            return Forecast(Fate.SUSPENDED, len(found))
        return Forecast(Fate.SENT if found else Fate.NO_CALL, len(found))

    def _holds_up(self, suspensions: Sequence[Suspension], deliveries: Sequence[Delivery]) -> bool:
        tell = self._deployed.fingerprint
        return tell is None or holding(suspensions, {tell(one) for one in deliveries}) is not None

    async def _which_resume(self, letters: Sequence[Letter], forecasts: Sequence[Forecast]) -> list[bool]:
        """The letters of which some deliveries have arrived; a letter that made no call is not looked up."""
        asked = (
            self._has_begun(letter.message)
            if letter.message and one.fate is Fate.SENT and letter.attempts != 0
            else _no()
            for letter, one in zip(letters, forecasts, strict=True)
        )
        return list(await asyncio.gather(*asked))

    async def _has_begun(self, message: Message) -> bool:
        try:
            value: Mapping[str, Any] = (
                await self._state.read(progress_key(message.account_id, message.id), message.part)
            ).value
        except StateUnavailable:
            self.is_blind = True
            return False
        return bool(value.get("done"))


async def _no() -> bool:
    return False


def forecaster(stack: Stack, named: Named) -> tuple[Deployed, Forecaster]:
    """The forecaster of a stage, and the partner that it tries letters with."""
    deployed = deployed_partner(stack, named)
    return deployed, Forecaster(deployed, stack.state())
