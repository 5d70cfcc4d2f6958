"""The demo's report as a page: whole, well formed, and true to the run."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from ops.demo import charts, report_page
from ops.demo.figures import Letter, Remains, Sample, Side
from ops.demo.scenarios import SCENARIOS
from ops.local.mparticle import Ended, Invocation, Parcel
from ops.local.partner_api import PartnerLedger

VOID = {"meta"}


class Tags(HTMLParser):
    """Collects what is open and what the page points to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def side(*, throttled: int = 0, lost: bool = False) -> Side:
    ledger = PartnerLedger()
    invocations = []
    for number in range(20):
        outcome = Ended.THROTTLED if number < throttled else Ended.ACCEPTED
        invocations.append(Invocation(Parcel(b"", (f"{number}",)), number / 2, 5.0 + number, outcome, 200, b""))
        if outcome is Ended.ACCEPTED and not (lost and number == 19):
            ledger.arrivals[f"{number}"] = [number / 2 + 1]
            ledger.accepted_s.append(number / 2 + 1)
    return Side(0.0, invocations, ledger, [Sample(1.0, 5, 2, 1.0)])


def page(direct: Side, spillway: Side, notes: tuple[str, ...] = ()) -> str:
    return rendered("spike", {"direct": direct, "Spillway": spillway}, notes)


def rendered(name: str, sides: dict[str, Side], notes: tuple[str, ...] = ()) -> str:
    scenario = SCENARIOS[name]
    settings = scenario.settings()
    shown = settings.as_json(scenario.shows)
    return report_page.render(scenario, sides, settings=settings, shown=shown, notes=notes)


def parsed(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    tags.close()
    return tags


def test_the_page_needs_nothing_but_itself() -> None:
    """No script, no link, no image, no import: it opens offline and from a mail."""
    text = page(side(throttled=8), side())
    assert parsed(text).links == []
    assert not re.search(r"<script|@import|url\(|https?://", text)


def test_the_page_is_well_formed() -> None:
    """Every element that is opened is closed, in order, and no placeholder is left."""
    tags = parsed(page(side(throttled=8), side()))
    assert tags.open == []
    assert "$" not in tags.text


def test_the_page_says_when_something_was_lost() -> None:
    """The verdict on top is the one of the exit status."""
    assert "nothing throttled, nothing lost, nothing given up" in page(side(throttled=8), side())
    spoiled = page(side(throttled=8), side(lost=True))
    assert "Spillway lost 1 of 20 accepted events" in spoiled
    assert "nothing lost" not in spoiled


def test_text_is_escaped() -> None:
    """A note with angle brackets is text, not markup."""
    assert "a &lt;b&gt; c" in page(side(), side(), notes=("a <b> c",))


def test_a_demo_in_which_nothing_was_accepted_has_a_page_too() -> None:
    """No answer times, no deliveries: the page is still drawn."""
    tags = parsed(page(side(throttled=20), side(throttled=20)))
    assert tags.open == []


def test_both_invocation_plots_have_the_same_scale() -> None:
    """The plots stand side by side: the same height is the same rate."""
    text = page(side(throttled=8), side())
    plots = re.findall(r"<svg[^>]*aria-label=\"Invocations[^>]*>.*?</svg>", text, re.DOTALL)
    ticks = [re.findall(r'text-anchor="end">([\d.,]+)<', plot) for plot in plots]
    assert len(plots) == 2
    assert ticks[0] == ticks[1]


@pytest.mark.parametrize("name", [name for name, scenario in SCENARIOS.items() if not scenario.compares])
@pytest.mark.parametrize("accepted", [20, 0])
def test_every_scenario_has_a_page_of_its_own(name: str, accepted: int) -> None:
    """Each is well formed and needs nothing but itself, also when nothing was accepted or nobody learnt a limit."""
    scenario = SCENARIOS[name]
    plan = scenario.plan(scenario.settings(requests=40))
    run = side(throttled=20 - accepted)
    samples = [Sample(1.0, 5, 2, 1.0, parked=3, limit_per_s=20.0, breaker_open=True), Sample(2.0, 0, 0, 0.0)]
    remains = Remains([Letter("rejected", "HTTP 400 <b>", ("1",))], frozenset({"2"}))
    run = replace(run, samples=samples, remains=remains, expected=plan.expected(scenario.names))
    text = rendered(name, {"Spillway": run})
    tags = parsed(text)
    assert (tags.open, tags.links) == ([], [])
    assert "$" not in tags.text
    assert "{" not in tags.text.partition("</style>")[0].partition("Spillway · ")[2]
    assert "HTTP 400 &lt;b&gt;" in text
    assert "breaker open" in text
    assert ("the partner is down" in text) is (name == "outage")


def test_a_run_that_failed_has_no_calm_figures() -> None:
    """What is left undelivered takes a figure of its own, marked as bad, in place of the one about the scenario."""
    run = side()
    ids = [event_id for one in run.invocations for event_id in one.parcel.event_ids]
    kept = {event_id: times_s for event_id, times_s in run.ledger.arrivals.items() if event_id != ids[-1]}
    run = replace(run, ledger=replace(run.ledger, arrivals=kept), remains=Remains(waiting=1))
    text = rendered("outage", {"Spillway": run})
    assert '<div class="card bad"><span>Not delivered when the demo gave up</span><b>1</b>' in text
    assert "Calls while it was down" not in text
    assert "still had 1 messages to deliver" in text


def test_a_busy_machine_stands_in_the_verdict() -> None:
    """Whoever looks at a page of a run that was throttled reads that other work may be why."""
    text = page(side(throttled=8), replace(side(throttled=2), busy_elsewhere=0.46))
    assert "Too busy to tell: other work took 46 % of this machine" in text


def test_wide_plots_are_drawn_for_narrow_pages_too() -> None:
    """A plot that would be cut off or illegible on a narrow page stands there a second time, half as wide."""
    text = page(side(throttled=8), side())
    for width, css in ((charts.WIDE, "at-wide"), (charts.WIDTH, "at-narrow")):
        assert re.search(rf'<div class="{css}"><svg viewBox="0 0 {width} ', text)
