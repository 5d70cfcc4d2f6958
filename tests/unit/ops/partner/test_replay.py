import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.cli import app
from ops.partner.replay import as_json, as_text, cases, replay
from partners import Delivery, LeftOut, Partner, Result, Secret
from shared.errors import InvalidRequest
from shared.firehose import EventProcessingRequest, Registration, Request
from shared.message import Head, encode, to_json


class Echo(Partner):
    """One delivery for each event; some names make its code fail."""

    name = "echo"

    def registration(self) -> Registration:
        return Registration(name="Echo", version="1")

    def deliveries(self, request: Request) -> Iterable[Delivery]:
        if not isinstance(request, EventProcessingRequest):
            return
        for event in request.events:
            name = event.raw.get("name")
            if name == "refuse":
                raise InvalidRequest("must not be so", "events")
            if name == "boom":
                raise KeyError("canary@example.com")
            key = {"Api-Key": Secret("canary-key\n" if name == "line break" else "canary-key")}
            yield Delivery("https://p.example/e?v=1", to_json(event.raw), event.id or "", secret_headers=key)

    def read_response(self, deliveries: Sequence[Delivery], status: int, body: bytes) -> Sequence[Result] | None:
        return [Result.REJECTED] * len(deliveries) if b"no" in body else None


def request(*names: str, **fields: Any) -> dict[str, Any]:
    events = [{"type": "custom_event", "id": f"e{place}", "name": name} for place, name in enumerate(names)]
    return {"type": "event_processing_request", "id": "r-1", "account": {"account_id": 7}, "events": events, **fields}


def shown(line: Any, partner: Partner | None = None) -> dict[str, Any]:
    [case] = cases([line if isinstance(line, bytes) else json.dumps(line).encode()])
    shown: dict[str, Any] = json.loads(as_json(replay(case, partner or Echo())))
    return shown


def outcome(given: Any, *answers: Any) -> tuple[int, str]:
    found = shown({"input": given, "answers": answers})
    return len(found["calls"]), found["outcome"]


def test_a_bare_request_becomes_its_calls() -> None:
    """A line without a name has that of its place; the credential is there for tools."""
    assert shown(request("a")) == {
        "name": "line 1",
        "calls": [
            {
                "method": "POST",
                "path": "/e?v=1",
                "api_key": "canary-key",
                "body": {"type": "custom_event", "id": "e0", "name": "a"},
            }
        ],
        "outcome": "ok",
    }


def test_a_case_has_a_name_and_any_kind_of_input() -> None:
    """A request, its text, the text of a queue message, a whole SQS event with either in it."""
    one = request("a")
    [message] = encode(Head("r-1", one["type"], "7", 1_700_000_000_000), to_json(one))
    expected = shown({"name": "n", "input": one})
    assert expected["name"] == "n"
    assert shown({"name": "n", "input": json.dumps(one)}) == expected
    assert shown({"name": "n", "input": message}) == expected
    records = {"Records": [{"body": json.dumps(one)}, {"body": message}]}
    assert shown({"name": "n", "input": records})["calls"] == expected["calls"] * 2


def test_numbers_keep_every_digit_on_the_way() -> None:
    """From the line to the call: scale, exponent and ints of any size."""
    line = json.dumps(request("a")).replace(
        '"name": "a"', '"n": [10.00, 0.1000000000000000000001, 1e3, 18446744073709551617]'
    )
    [case] = cases([line.encode()])
    assert "[10.00,0.1000000000000000000001,1e3,18446744073709551617]" in as_json(replay(case, Echo()))


def test_a_request_over_a_messages_size_is_all_its_parts() -> None:
    """It is split as ingest splits it, and all of its calls are shown."""
    noise = request(*(f"n{place}" for place in range(60)))
    for event in noise["events"]:
        event["text"] = random.Random(event["id"]).randbytes(20_000).hex()
    assert len(encode(Head("r-1", noise["type"], "7", 0), to_json(noise))) > 1
    assert outcome(noise) == (60, "ok")


@pytest.mark.parametrize("answer", [408, 429, 500, 503, "timeout", "connect_error", 401])
def test_what_waits_is_retriable(answer: Any) -> None:
    """The lane stops at the call that failed, as the worker's does."""
    assert outcome(request("a", "b", "c"), "success", answer) == (2, "retriable")


def test_what_the_partner_refuses_for_good_is_ok_and_said() -> None:
    """Every call was made; the end says that a dead letter is left of it."""
    [case] = cases([json.dumps({"input": request("a", "b"), "answers": [400, {"status": 200, "body": "no"}]}).encode()])
    found = replay(case, Echo())
    assert (len(found.calls), found.outcome) == (2, "ok")
    assert found.ends == ["dead letter, rejected: HTTP 400 for 2 of 2 deliveries"]


@pytest.mark.parametrize("given", [request("a", "refuse"), "not json", "[]", '{"type": 5}', {"type": "unheard_of"}, {}])
def test_a_request_that_can_not_be_sent_is_permanent(given: Any) -> None:
    """Its mapping says so, or it is no request at all; not a single call is made."""
    assert outcome(given) == (0, "permanent")


def test_code_that_raises_is_unexpected_and_shows_nothing_of_what_it_raised() -> None:
    """File and line are shown, and a header that HTTP has no form for never counts as a call."""
    [case] = cases([json.dumps({"input": request("a", "boom")}).encode()])
    found = replay(case, Echo())
    assert (found.calls, found.outcome) == ([], "unexpected")
    assert "KeyError in test_replay.py:" in found.ends[0]
    assert "canary" not in "".join(as_text(found))
    assert outcome(request("a", "line break")) == (1, "unexpected")


def test_a_damaged_queue_message_is_unexpected() -> None:
    """No version of ours wrote it; what a later one may have written waits for its worker."""
    assert outcome('{"v": 0, "payload": {}}') == (0, "unexpected")
    assert outcome('{"v": 9, "payload": {}}') == (0, "retriable")


def test_the_worst_of_several_messages_counts() -> None:
    """One that cannot be sent is not hidden behind others that arrived."""
    records = [{"body": json.dumps(one)} for one in (request("a"), request("refuse"), request("b"))]
    assert outcome({"Records": records}) == (2, "permanent")


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"\xff",
        b"5",
        b'{"input": 5}',
        b'{"input": {"Records": [{}]}}',
        b'{"input": {}, "answers": 5}',
        b'{"input": {}, "answers": ["failure"]}',
        b'{"input": {}, "answers": [99]}',
        b'{"input": {}, "answers": [true]}',
        b'{"input": {}, "answers": [1e99999999999999999999]}',
        b'{"input": {}, "answers": {"a": 1}}',
        b'{"Records": [{"body": null}]}',
        b'{"Records": [{"body": 5}]}',
        b'{"Records": [null]}',
        b'{"Records": [[]]}',
        b'{"input": {"Records": {}, "type": 1e99999999999999999999}}',
        b'{"input": null}',
        b'{"input": [1]}',
        b'{"input": "\\ud800"}',
        b'{"input": "[[[["}',
        b"[" * 2_000 + b"]" * 2_000,
        b"NaN",
        b'{"type": "\xff"}',
        b'{"a": 1} {"b": 2}',
        b"1e99999999999999999999",
        b"9" * 5_000,
        '{"type": "event_processing_request"}'.encode("utf-16"),
    ],
)
def test_a_line_that_can_not_be_read_is_its_own_outcome(line: bytes) -> None:
    """The lines around it are replayed; blank ones are passed over and counted."""
    good = json.dumps(request("a")).encode()
    found = [replay(case, Echo()) for case in cases([good, b"\n", line, good])]
    assert [(one.name, one.outcome) for one in found] == [("line 1", "ok"), ("line 3", "permanent"), ("line 4", "ok")]
    assert [len(one.calls) for one in found] == [1, 0, 1]
    [end] = found[1].ends
    assert "\n" not in end
    first, *_ = [replay(case, Echo()) for case in cases([line, good])]
    assert first.outcome == "permanent"


@pytest.mark.parametrize("number", ["1e99999999999999999999", "-1E+400", "1e-99999999999999999999", "9" * 5_000, "-0"])
def test_any_number_is_replayed_as_it_is_spelled(number: str) -> None:
    """In a request, in a queue message, in an answer."""
    line = json.dumps(request("a")).replace('"name": "a"', f'"n": {number}')
    [case] = cases([line.encode()])
    assert f'"n":{number}' in as_json(replay(case, Echo()))
    answered = f'{{"input": {line}, "answers": [{{"status": 200, "body": {{"n": {number}}}}}]}}'
    [case] = cases([answered.encode()])
    assert replay(case, Echo()).outcome == "ok"


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\n\n"])
def test_one_request_over_many_lines_is_one_case(before: bytes) -> None:
    """A file as an editor, or `partner new`, writes it."""
    text = before + json.dumps(request("a", "b"), indent=2).encode()
    [case] = cases(text.splitlines(keepends=True))
    assert len(replay(case, Echo()).calls) == 2
    one = {"name": "n", "input": request("a"), "answers": [503]}
    [case] = cases(json.dumps(one, indent=1).encode().splitlines(keepends=True))
    assert replay(case, Echo()).outcome == "retriable"


def test_the_sample_of_a_new_partner_can_be_replayed() -> None:
    """The template that `partner new` fills is pretty-printed."""
    template = Path(__file__).parents[4] / "ops" / "partner" / "template" / "event.json.tmpl"
    with template.open("rb") as lines:
        [case] = cases(lines)
    assert case.problem == ""


def test_people_see_masks() -> None:
    """Neither the credential nor what a body says of a user; with `values` the body, the credential never."""
    [case] = cases([json.dumps(request("canary@example.com")).encode()])
    found = replay(case, Echo())
    masked = "\n".join(as_text(found))
    assert "canary" not in masked
    assert '{"type":"***","id":"***","name":"***"}' in masked
    values = "\n".join(as_text(found, values=True))
    assert "canary@example.com" in values
    assert "canary-key" not in values


def test_what_is_left_out_is_shown_to_people() -> None:
    """With the part's name only where values are asked for; tools get what they always got."""

    class Choosy(Echo):
        def deliveries(self, request: Request) -> Iterable[Delivery | LeftOut]:
            for one in super().deliveries(request):
                yield LeftOut(one.item, "not wanted")

    [case] = cases([json.dumps(request("a")).encode()])
    found = replay(case, Choosy())
    [part] = found.left_out
    assert list(as_text(found)) == ["line 1: ok", "  left out: not wanted"]
    assert list(as_text(found, values=True)) == ["line 1: ok", f"  left out: {part.item}: not wanted"]
    assert json.loads(as_json(found)) == {"name": "line 1", "calls": [], "outcome": "ok"}


def test_a_key_that_joins_the_body_is_shown_as_a_credential() -> None:
    """Masked for people, as `api_key` for tools, and in no body."""

    class InBody(Echo):
        def deliveries(self, request: Request) -> Iterable[Delivery]:
            for one in super().deliveries(request):
                yield replace(one, secret_headers={}, secret_fields={"api_key": Secret("canary-key")})

    [case] = cases([json.dumps(request("a")).encode()])
    lines = list(as_text(replay(case, InBody()), values=True))
    assert "    api_key: ***" in lines
    assert "canary" not in "".join(lines)
    [call] = shown(request("a"), InBody())["calls"]
    assert (call["api_key"], "api_key" in call["body"]) == ("canary-key", False)


def test_a_body_that_is_no_json_is_shown_as_text() -> None:
    """Partners may send forms."""

    class Form(Echo):
        def deliveries(self, request: Request) -> Iterable[Delivery]:
            for one in super().deliveries(request):
                yield replace(one, body=b"a=1&b=2", secret_headers={})

    [call] = shown(request("a"), Form())["calls"]
    assert (call["body"], call["api_key"]) == ("a=1&b=2", None)


ENV = {"WEBHOOK_URL": "https://p.example/e"}


def test_the_verb_reads_a_file_or_standard_input(tmp_path: Any) -> None:
    """The output is one line for each case with --json, and for people without."""
    line = json.dumps(request("a", account={"account_id": 7, "account_settings": {"apiKey": "canary"}}))
    (tmp_path / "f").write_text(f"{line}\n\n{line}\n")
    runner = CliRunner()
    done = runner.invoke(app, ["partner", "replay", "--partner", "webhook", "--json", str(tmp_path / "f")], env=ENV)
    assert done.exit_code == 0
    assert [json.loads(one)["name"] for one in done.stdout.splitlines()] == ["line 1", "line 3"]
    done = runner.invoke(app, ["partner", "replay", "--partner", "partners.webhook", "-"], env=ENV, input=line)
    assert done.stdout.splitlines()[:3] == ["line 1: ok", "  POST /e", "    Authorization: ***"]
    assert "canary" not in done.stdout


@pytest.mark.parametrize(
    ("partner", "given", "named"),
    [("nobody", "{}", "PARTNER=partners.nobody"), ("iterable", None, "nowhere.ndjson")],
)
def test_what_can_not_be_replayed_is_one_line_and_status_2(partner: str, given: str | None, named: str) -> None:
    """An unknown partner, a file that is not there."""
    file = "nowhere.ndjson" if given is None else "-"
    done = CliRunner().invoke(app, ["partner", "replay", "--partner", partner, file], env=ENV, input=given)
    assert done.exit_code == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("spillway: ")
    assert named in line
