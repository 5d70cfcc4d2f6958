"""What one field of a wrong type may cost: its own event or profile, and nothing beside it.

Every field of the requests that a partner is tried with is given each odd value, one at a time. A field of the request
itself may cost the request (InvalidRequest: there is no user), one of a part only that part.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ops.partner.declaration import folder_of
from ops.partner.purity import Refused, Watch
from partners import Delivery, Partner
from partners.in_line import Answer
from shared.errors import InvalidRequest, raised_at
from shared.firehose import AudienceSubscriptionRequest, parse_request
from shared.firehose.json_text import Number
from testkit import rules
from testkit.rules import Fault

LONG = 16_000
DEEP = 100


def _deep(depth: int) -> Any:
    value: Any = "x"
    for level in range(depth):
        value = [value] if level % 2 else {"x": value}
    return value


ODD: dict[str, Any] = {
    "null": None,
    "an empty text": "",
    "a text": "x",
    "a digit of another alphabet": "٣",
    "a text of digits and a letter": "1" * LONG + "x",
    "a text of blanks and a letter": " " * LONG + "x",
    "5": 5,
    "-0.5": Number("-0.5"),
    "a number of 900 digits": Number("9" * 900),
    "1e400": Number("1e400"),
    "1e150000": Number("1e150000"),
    "1e99999999999999999999": Number("1e99999999999999999999"),
    "1e-99999999999999999999": Number("1e-99999999999999999999"),
    "true": True,
    "an empty list": [],
    "a list": ["x", 5, None, [], {}],
    "an object": {"x": "y", "": None, "type": 5},
    "nesting": _deep(DEEP),
}
"""Odd values. A larger exponent is of the same kind, and `int()` of it would hold up the check for minutes."""

FREE = frozenset(
    {"attributes", "custom_flags", "user_attributes", "user_attribute_lists", "integration_attributes"}
    | {"account_settings", "audience_subscription_settings", "gdpr_consent_state", "ccpa_consent_state"}
)
"""Objects whose names are the customer's: one of them stands for all."""

AT_ONCE = 25
"""Odd parts in one request; if it shows a fault, each is tried by itself."""
SLOW_S = 0.5
"""The most processor time for a field of a few KB. Linear code takes a thousandth of it."""
MOST_FAULTS = 10
"""The faults after which the check stops."""
MEND = "Map each event and profile by partners.reading.one_by_one: an odd one is left out, alone"

Path = tuple[str | int, ...]
OddT = TypeVar("OddT")


@dataclass(frozen=True, slots=True)
class OddPart:
    """An event or profile with one odd field, and as it was before."""

    where: str
    valid: Mapping[str, Any]
    odd: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of requests of one kind. `request` frames some; `beside` are valid ones that stand around the odd ones."""

    request: Callable[[Sequence[Mapping[str, Any]]], Mapping[str, Any]]
    beside: Sequence[Mapping[str, Any]]
    odd: Sequence[OddPart]


def faults(
    partner: Partner,
    requests: Iterable[Mapping[str, Any]],
    secrets: Mapping[str, str],
    watch: Watch,
    *,
    half: int | None = None,
    at: Callable[[str], object] = lambda _: None,
) -> Iterator[tuple[Fault, str]]:
    """The faults that odd fields of valid requests show, each with the field; `half` 0 or 1 tries every second field.
    `at` is called with the one that comes next.
    """
    mapping = _Mapping(partner, secrets, watch)
    for count, found in enumerate(_all_faults(mapping, list(requests), half, at), start=1):
        yield found
        if count >= MOST_FAULTS or found[0].id == "field.slow":  # the next one would be slow, too
            return


def _all_faults(
    mapping: "_Mapping", requests: Sequence[Mapping[str, Any]], half: int | None, at: Callable[[str], object]
) -> Iterator[tuple[Fault, str]]:
    for where, request in _half(_odd_requests(requests), half):
        at(where)
        yield from ((fault, where) for fault in mapping.faults_of_request(request))
    for kind, name in (("event_processing_request", "events"), ("audience_membership_change_request", "user_profiles")):
        parts = _parts([one for one in requests if one["type"] == kind], name, mapping)
        odd = [] if parts is None else _half(parts.odd, half)
        for start in range(0, len(odd), AT_ONCE):
            some = odd[start : start + AT_ONCE]
            at(f"{some[0].where} ... {some[-1].where}")
            if parts is not None and any(mapping.faults_of_parts(parts, some)):
                for one in some:
                    at(one.where)
                    yield from ((fault, one.where) for fault in mapping.faults_of_parts(parts, [one]))


def _half(some: Iterable[OddT], half: int | None) -> list[OddT]:
    return list(some) if half is None else list(some)[half::2]


# --- what is tried --------------------------------------------------------------------------------------------------


def _odd_requests(requests: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Requests with one odd field outside of their events and profiles, of which there are two. A customer's settings
    are always texts, so they stay.
    """
    seen: set[str] = set()
    for request in requests:
        short = {**request, **{name: request[name][:2] for name in ("events", "user_profiles") if request.get(name)}}
        for path, shown in _places(short):
            inside = path[0] in {"events", "user_profiles", "system_notifications", "runtime_environment"}
            inside = inside or "account_settings" in path[:-1]
            where = f"{request['type']} {shown}"
            if where in seen or path == ("type",) or (inside and len(path) > 1):
                continue
            seen.add(where)
            yield from ((f"{where} = {name}", _with(short, path, value)) for name, value in ODD.items())
    yield from _odd_environments(requests)


def _odd_environments(requests: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each environment with all of its fields odd at once, and with those of all others."""
    found: dict[str, Mapping[str, Any]] = {}
    for one in requests:
        environment = one.get("runtime_environment")
        if isinstance(environment, Mapping) and "type" in environment:
            found.setdefault(environment["type"], one)
    names = sorted({name for one in found.values() for name in one["runtime_environment"]})
    for kind, request in found.items():
        known = request["runtime_environment"]
        kept = {name: known[name] for name in ("type", "identities") if name in known}
        for value_name, value in ODD.items():
            own, strange = {**dict.fromkeys(known, value), **kept}, {**dict.fromkeys(names, value), **known}
            for of, environment in (("its", own), ("strange", strange)):
                where = f"{kind} runtime_environment, {of} fields = {value_name}"
                yield where, {**request, "events": request["events"][:2], "runtime_environment": environment}


def _parts(requests: Sequence[Mapping[str, Any]], name: str, mapping: "_Mapping") -> Parts | None:
    valid = [dict(part) for one in requests for part in one.get(name) or () if isinstance(part, Mapping)]
    if not valid:
        return None
    frame = next(one for one in requests if one.get(name))

    def request(parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        return {**frame, name: list(parts), **({"system_notifications": []} if name == "events" else {})}

    beside = _with_ids(_most_telling(valid, request, mapping)[:2], "beside", name)
    return Parts(request, beside, list(_odd_parts(valid, name)))


def _most_telling(
    valid: Sequence[Mapping[str, Any]],
    request: Callable[[Sequence[Mapping[str, Any]]], Mapping[str, Any]],
    mapping: "_Mapping",
) -> list[Mapping[str, Any]]:
    """Valid parts, those that become calls first."""
    one_of_each = list({part.get("type"): part for part in reversed(valid)}.values())
    one_of_each = one_of_each if len(one_of_each) > 1 else list(valid)
    return sorted(one_of_each, key=lambda part: -len(mapping.calls_of(request([part]))))


def _odd_parts(valid: Sequence[Mapping[str, Any]], name: str) -> Iterator[OddPart]:
    names = sorted({field for part in valid for field in part})
    seen: set[str] = set()
    for part in valid:
        kind = str(part.get("type", name[:-1]))
        for path, shown in _places(part):
            where = f"{kind} {shown}"
            if path == ("type",) or where in seen:
                continue
            seen.add(where)
            for value_name, value in ODD.items():
                number = len(seen)
                [before] = _with_ids([part], f"odd-{number}-{value_name}", name)
                yield OddPart(f"{where} = {value_name}", before, _with(before, path, value))
        if f"{kind} others" not in seen:
            seen.add(f"{kind} others")
            for value_name, value in ODD.items():
                [before] = _with_ids([part], f"odd-{kind}-{value_name}", name)
                odd = {**dict.fromkeys((one for one in names if one not in before), value), **before}
                yield OddPart(f"{kind} fields of other types = {value_name}", before, odd)


def _with_ids(parts: Iterable[Mapping[str, Any]], prefix: str, name: str) -> list[Mapping[str, Any]]:
    """Parts whose items have a name wherever they stand; profiles have none but their place."""
    return [
        {**part, "id": f"{prefix}-{number}"} if name == "events" else {**part, "mpid": f"{prefix}-{number}"}
        for number, part in enumerate(parts)
    ]


def _places(value: Any, path: Path = (), shown: str = "") -> Iterator[tuple[Path, str]]:
    """Every place below a JSON value, with a name in which `*` stands for a name of the customer's. Of a list, and of
    such names, only the first.
    """
    if path:
        yield path, shown
    if isinstance(value, Mapping):
        is_free = bool(path) and path[-1] in FREE
        for name, item in list(value.items())[: 1 if is_free else None]:
            yield from _places(item, (*path, name), f"{shown}.*" if is_free else f"{shown}.{name}".lstrip("."))
    elif isinstance(value, list) and value:
        yield from _places(value[0], (*path, 0), f"{shown}[]")


def _with(value: Any, path: Path, odd: Any) -> Any:
    """The value with another one at a place."""
    if not path:
        return odd
    if isinstance(value, list):
        return [_with(value[0], path[1:], odd), *value[1:]]
    return {**value, path[0]: _with(value[path[0]], path[1:], odd)}


# --- how it is tried ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Mapping:
    partner: Partner
    secrets: Mapping[str, str]
    watch: Watch

    def calls_of(self, content: Mapping[str, Any]) -> list[Delivery]:
        """The calls of a valid request; none if it cannot be mapped, which other checks report."""
        try:
            request = parse_request(dict(content), only=self.partner.reads)
            with self.watch.over(closely=False):
                return [one for one in self.partner.deliveries(request) if isinstance(one, Delivery)]
        except Exception:  # a partner's code may raise anything
            return []

    def faults_of_request(self, content: Mapping[str, Any]) -> Iterator[Fault]:
        try:
            self._said(content)
        except InvalidRequest:
            return  # a request without a user, say
        except _Odd as odd:
            yield odd.fault

    def faults_of_parts(self, parts: Parts, some: Sequence[OddPart]) -> Iterator[Fault]:
        first, last = parts.beside[:1], parts.beside[1:]
        alone = self.calls_of(parts.request([*first, *({} for _ in some), *last]))
        before = self.calls_of(parts.request([*first, *(one.valid for one in some), *last]))
        try:
            said = self._said(parts.request([*first, *(one.odd for one in some), *last]))
        except InvalidRequest as error:
            where = raised_at(error, folder_of(self.partner))
            mend = "InvalidRequest is for what the whole request lacks: leave the part out, with a LeftOut"
            yield Fault(
                "field.refuses", f"a field of a wrong type refuses the whole request: {error}, in {where}", mend
            )
            return
        except _Odd as odd:
            yield odd.fault
            return
        calls = [one for one in said if isinstance(one, Delivery)]
        same = [one for one in alone if one in before]
        named = {_name(one) for one in alone} & {_name(one) for one in before}
        if [one for one in same if one not in calls] or named - {_name(one) for one in calls}:
            yield Fault("field.neighbours", "a field of a wrong type changes what its neighbours become", MEND)
        for one in said:
            if one not in alone and one not in before:
                yield from rules.faults(one, self.secrets)

    def _said(self, content: Mapping[str, Any]) -> list[Any]:
        """What a request becomes. Raises InvalidRequest, and _Odd for a result that is never allowed."""
        request, again = (parse_request(dict(content), only=self.partner.reads) for _ in range(2))
        if isinstance(request, AudienceSubscriptionRequest):
            return self._subscribed(request)
        try:
            with self.watch.over(closely=False):
                began_s = time.process_time()
                said = list(self.partner.deliveries(request))
                took_s = time.process_time() - began_s
                repeated = list(self.partner.deliveries(again))
        except InvalidRequest:
            raise
        except Refused:
            return []  # noted where it happened
        except Exception as error:
            raise self._raised(error) from None
        if took_s > SLOW_S:
            mend = "Read numbers by partners.reading (whole, truncated, double); no regular expression with two ways"
            raise _Odd("field.slow", f"a field of {LONG // 1_000} KB takes over {SLOW_S} s to map", mend)
        if said != repeated:
            mend = "The same request must give the same deliveries: no counters, no caches that change the outcome"
            raise _Odd("mapping.differs", "mapped twice, a request gives different deliveries", mend)
        return said

    def _subscribed(self, request: AudienceSubscriptionRequest) -> list[Any]:
        try:
            with self.watch.over(closely=False):
                self.partner.subscribe(request, lambda _: Answer(200))
        except (InvalidRequest, Refused):
            pass
        except Exception as error:
            raise self._raised(error) from None
        return []

    def _raised(self, error: Exception) -> "_Odd":
        where = raised_at(error, folder_of(self.partner))
        return _Odd("field.raises", f"a field of a wrong type raises {type(error).__name__} in {where}", MEND)


class _Odd(Exception):
    """Carries a fault out of a mapping."""

    def __init__(self, identity: str, problem: str, mend: str) -> None:
        super().__init__(problem)
        self.fault = Fault(identity, problem, mend)


def _name(call: Delivery) -> tuple[str, str, str]:
    return call.method, call.url.partition("?")[0], call.item
