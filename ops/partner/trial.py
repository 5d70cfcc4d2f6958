"""Tries a partner: maps many requests, twice each, and says which promises do not hold.

`python -m ops.partner.trial MODULE ANSWER ...` does it in a process of its own and writes what it found into a file:
the partner's code runs nowhere else, and `spillway partner check` runs two of these, which differ in everything that a
mapping must not depend on.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.partner import bulk, declaration, odd_fields
from ops.partner.declaration import folder_of
from ops.partner.purity import Refused, Watch
from ops.partner.requests import Case, account_settings, canaries, cases, read_samples
from ops.partner.variables import known_variables
from partners import Delivery, LeftOut, Partner, PartnerBroken, load_partner
from partners.in_line import Answer
from shared.errors import InvalidRequest, InvalidSettings, Unmappable, raised_at
from shared.firehose import AudienceSubscriptionRequest, parse_request, rules_unenforced
from shared.idempotency import Places
from shared.message import Message
from shared.stored import without_stored
from testkit import rules
from testkit.rules import Fault
from worker_fn.batch.prepare import key_for

IMPURE = "Map from the request alone; what else is needed is read once, in from_env or at import"
LEAVE_OUT_UNKNOWN = (
    "Leave out what you do not know: if one event raises, the whole request is dead-lettered as unmappable"
)
LOST = "Map what is valid: one_by_one leaves out what raises, and nobody would miss it until somebody looks for it"


@dataclass(slots=True)
class Trial:
    """A trial's result. `digests` stand for the mapped requests, case by case; `seen` says where each fault showed."""

    requests: int = 0
    deliveries: int = 0
    reasons: set[str] = field(default_factory=set)
    """Why parts of requests were left out."""
    digests: dict[str, str] = field(default_factory=dict)
    seen: dict[Fault, list[str]] = field(default_factory=dict)

    def note(self, faults: Iterable[Fault], where: str) -> None:
        for fault in faults:
            places = self.seen.setdefault(fault, [])
            if where not in places:
                places.append(where)


def run(
    partner: Partner,
    samples: Mapping[str, dict[str, Any]],
    *,
    count: int,
    seed: int,
    backwards: bool,
    half: int | None = None,
    at: Callable[[str], object] = lambda _: None,
) -> Trial:
    """Try a partner with everything. `backwards` takes the cases from the last to the first, `half` 0 or 1 every second
    odd field; `at` is called with what comes next.
    """
    trial = Trial()
    trial.note(declaration.faults(partner), "")
    if any(fault.id in declaration.UNKNOWN for fault in trial.seen):
        return trial  # what mParticle would send, or what of it is read, is not known
    with rules_unenforced():
        declared = partner.registration()
    secrets = canaries(declared)
    trial.note(_pings(partner, account_settings(declared, samples), secrets), "")
    watch = Watch(folder_of(partner))
    keyed: list[tuple[Delivery, str]] = []
    ordered = list(cases(declared, samples, count=count, first_seed=seed))
    for case in reversed(ordered) if backwards else ordered:
        at(case.label)
        keyed += try_case(trial, partner, case, secrets, watch)
    if not any(fault.id == "delivery.type" or fault.id.startswith("limits.") for fault in trial.seen):
        trial.note(bulk.faults(partner, keyed, secrets, watch), "")
    trial.note(rules.reason_faults(trial.reasons), "")
    if not trial.seen:  # else each of these would only say the same again
        valid = [case.request for case in ordered if not case.odd]
        for fault, where in odd_fields.faults(partner, valid, secrets, watch, half=half, at=at):
            trial.note([fault], where)
    for act in watch.acts:
        trial.note([Fault("mapping.impure", f"the mapping {act.what}: {act.where}", IMPURE)], "")
    return trial


def try_case(
    trial: Trial, partner: Partner, case: Case, secrets: Mapping[str, str], watch: Watch
) -> list[tuple[Delivery, str]]:
    """Map one request twice; returns the deliveries of a valid one with their keys."""
    trial.requests += 1
    try:
        message = case.message()
        request = parse_request(message.payload, only=partner.reads)
        again = parse_request(case.message().payload)  # as a whole: `reads` must not change what it becomes
    except InvalidRequest as error:  # ingest or the worker refuses it before a partner sees it
        mend = "write the sample as mParticle sends it: spillway sample prints some"
        trial.note([] if case.odd else [Fault("sample.invalid", f"a sample is no request: {error}", mend)], case.label)
        return []
    if isinstance(request, AudienceSubscriptionRequest):
        trial.note(_subscribes(partner, request, case, watch), case.label)
        return []
    try:
        with watch.over():
            said = list(partner.deliveries(request))
            repeated = list(partner.deliveries(again))
    except Exception as error:
        trial.note(_raised(partner, error, case), case.label)
        trial.digests[case.label] = type(error).__name__
        return []
    for one in said:
        trial.note(rules.faults(one, secrets), case.label)
    mapped = [one for one in said if isinstance(one, Delivery)]
    left_out = [one for one in said if isinstance(one, LeftOut)]
    if len(mapped) + len(left_out) < len(said):
        return []
    trial.reasons |= {str(one.why) for one in left_out if not one.raised}
    if not case.odd:
        trial.note((Fault("mapping.raises", str(one.why), LOST) for one in left_out if one.raised), case.label)
    trial.deliveries += len(mapped)
    try:
        keyed = _with_keys(message, mapped)
        again_left_out = [one for one in repeated if isinstance(one, LeftOut)]
        first = digest(keyed, left_out)
        second = digest(_with_keys(message, [one for one in repeated if not isinstance(one, LeftOut)]), again_left_out)
    except (ValueError, TypeError, AttributeError):
        return []  # a rule has said why
    if first != second:
        mend = "The same request must give the same deliveries: no counters, no caches that change the outcome"
        if partner.reads is not None:
            mend += ", and every field that is read stands in `reads`"
        trial.note([Fault("mapping.differs", "mapped twice, a request gives different deliveries", mend)], case.label)
    else:
        trial.digests[case.label] = first
    trial.note(_shared_keys(mapped), case.label)
    return [] if case.odd else keyed


def _with_keys(message: Message, deliveries: Iterable[Delivery]) -> list[tuple[Delivery, str]]:
    """Deliveries, each with the Idempotency-Key that the worker gives it."""
    places = Places()
    return [(one, key_for(message, one, places)) for one in deliveries]


def digest(keyed: Iterable[tuple[Delivery, str]], left_out: Sequence[LeftOut] = ()) -> str:
    """A digest of deliveries and their keys, and of what is left out: equal only if all of them are, order included."""
    said = [
        (
            one.url, one.body, one.item, one.method, one.merge, one.merge_group, one.merge_kind, key,
            sorted(one.headers.items()),
            sorted((name, secret.value) for name, secret in one.secret_headers.items()),
            sorted((name, secret.value) for name, secret in one.secret_fields.items()),
            one.sign_with and one.sign_with.value,
        )
        for one, key in keyed
    ]  # fmt: skip
    return hashlib.sha256(repr((said, *left_out)).encode("utf-8", "surrogatepass")).hexdigest()


def _raised(partner: Partner, error: Exception, case: Case) -> Iterator[Fault]:
    where = raised_at(error, folder_of(partner))
    if isinstance(error, Refused):
        return  # noted where it happened
    if isinstance(error, Unmappable):
        yield Fault("mapping.undeclared", f"{error}, in {where}", "Add it to `reads`, or leave `reads` out")
    elif not isinstance(error, InvalidRequest):
        yield Fault("mapping.raises", f"the mapping raises {type(error).__name__} in {where}", LEAVE_OUT_UNKNOWN)
    elif not case.odd:
        mend = "Refuse only what can never be sent. If a setting needs a certain value, give it one in a sample"
        yield Fault("mapping.refuses", f"a valid request is refused: {error}, in {where}", mend)


def _subscribes(partner: Partner, request: AudienceSubscriptionRequest, case: Case, watch: Watch) -> Iterator[Fault]:
    try:
        with watch.over():
            settings = partner.subscribe(request, lambda _: Answer(200))
    except Exception as error:
        yield from _raised(partner, error, case)
        return
    if not isinstance(settings, Mapping) or not all(
        isinstance(name, str) and isinstance(value, str) for name, value in settings.items()
    ):
        yield Fault("subscribe.type", "subscribe() gives something else than texts by name", "give a dict of str")


def _pings(partner: Partner, settings: Mapping[str, str], secrets: Mapping[str, str]) -> Iterator[Fault]:
    """What is wrong with the call that `spillway doctor` makes: with settings, with none, with impossible ones."""
    for given, valid in ((settings, True), ({}, False), (dict.fromkeys(settings, "line\r\nX-Break: 1"), False)):
        try:
            ping = partner.ping(given)
        except Exception as error:
            if valid or not isinstance(error, InvalidRequest):
                problem = f"ping() raises {type(error).__name__} in {raised_at(error, folder_of(partner))}"
                yield Fault("ping.raises", problem, "raise InvalidRequest for bad settings alone, and nothing else")
        else:
            if ping is not None:
                found = rules.faults(ping, secrets)
                yield from (Fault(f"ping.{one.id}", f"of ping(): {one.problem}", one.mend) for one in found)


def _shared_keys(mapped: list[Delivery]) -> Iterator[Fault]:
    """Deliveries of one request that only their order tells apart."""
    names = [(one.method, one.url.partition("?")[0], one.item) for one in mapped]
    if len(set(names)) < len(names):
        yield Fault(
            "keys.shared",
            "two deliveries of one request to one endpoint have the same item",
            "Name in `item` what sets them apart: the event's id or its place, and the user for calls about users",
        )


def place_of(answer: Path) -> Path:
    """Where the mapping is that is being tried: all that is known of one without an end."""
    return answer.with_suffix(".place")


def main(arguments: list[str] | None = None) -> int:
    """Try a partner and write down what was found; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ops.partner.trial")
    parser.add_argument("module")
    parser.add_argument("answer", type=Path)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backwards", action="store_true")
    parser.add_argument("--half", type=int)
    parser.add_argument("--sample", type=Path, action="append", default=[])
    options = parser.parse_args(arguments)
    samples = read_samples(options.sample)
    try:
        partner = load_partner(without_stored({**os.environ, "PARTNER": options.module}))
    except PartnerBroken as error:
        answer: dict[str, Any] = {"broken": error.said}
    except InvalidSettings as error:
        answer = {"unusable": str(error)}
    else:
        found = run(
            partner,
            samples,
            count=options.count,
            seed=options.seed,
            backwards=options.backwards,
            half=options.half,
            at=place_of(options.answer).write_text,
        )
        answer = {
            "variables": sorted(known_variables({**os.environ, "PARTNER": options.module})),
            "requests": found.requests,
            "deliveries": found.deliveries,
            "reasons": sorted(found.reasons),
            "digests": found.digests,
            "seen": [[*fault, places] for fault, places in found.seen.items()],
        }
    options.answer.write_text(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
