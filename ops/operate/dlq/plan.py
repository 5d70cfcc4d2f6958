"""The plan of a redrive: how many letters would come to which end. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ops.operate.dlq.forecast import COMES_BACK, Fate, Forecast
from ops.operate.dlq.groups import kind_of
from ops.operate.dlq.letters import Letter

WORDS = {
    Fate.SENT: ("would now be sent", "would now be sent"),
    Fate.RESUMES: ("is half delivered and resumes", "are half delivered and resume"),
    Fate.NO_CALL: ("would end without a call", "would end without a call"),
    Fate.SUSPENDED: (
        "belongs to an account that is still suspended",
        "belong to an account that is still suspended",
    ),
    Fate.UNMAPPABLE: ("is still unmappable", "are still unmappable"),
    Fate.UNREADABLE: ("still cannot be read", "still cannot be read"),
    Fate.NOT_TRIED: ("could not be tried", "could not be tried"),
}
"""The words for one letter, and for several."""
MOST_SUSPENDED_NAMED = 3
MOST_ACCOUNTS_PLANNED = 100_000


@dataclass(slots=True)
class Plan:
    """Counts letters by their ends, and keeps one letter of each to look at."""

    counts: dict[Fate, int] = field(default_factory=dict)
    samples: dict[Fate, str] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    """Why letters would come back, by kind."""
    suspended: dict[str, int] = field(default_factory=dict)
    """Letters of accounts that are suspended."""
    accounts: set[str] = field(default_factory=set)
    calls: int = 0
    newest_ms: int = 0

    def add(self, letter: Letter, forecast: Forecast) -> None:
        fate = forecast.fate
        self.counts[fate] = self.counts.get(fate, 0) + 1
        self.samples.setdefault(fate, letter.id)
        self.calls += forecast.calls
        self.newest_ms = max(self.newest_ms, letter.sent_ms)
        if len(self.accounts) < MOST_ACCOUNTS_PLANNED:
            self.accounts.add(letter.account_id)
        if fate in COMES_BACK:
            kind = kind_of(forecast.error) or "no reason is said"
            self.errors[kind] = self.errors.get(kind, 0) + 1
        if fate is Fate.SUSPENDED:
            self.suspended[letter.account_id] = self.suspended.get(letter.account_id, 0) + 1

    @property
    def letters(self) -> int:
        return sum(self.counts.values())

    @property
    def coming_back(self) -> int:
        return sum(count for fate, count in self.counts.items() if fate in COMES_BACK)

    @property
    def calls_per_letter(self) -> float:
        """The calls of a letter, on average of those that make any; at least one."""
        calling = self.letters - self.coming_back - self.counts.get(Fate.NOT_TRIED, 0)
        return max(1.0, self.calls / calling) if calling else 1.0

    def lines(self) -> Iterator[tuple[int, str]]:
        """How many letters, and what would become of them."""
        for fate in Fate:
            count = self.counts.get(fate, 0)
            if count:
                yield count, self._words(fate, is_one=count == 1)

    def _words(self, fate: Fate, *, is_one: bool) -> str:
        one, several = WORDS[fate]
        return (one if is_one else several) + (self._whose() if fate is Fate.SUSPENDED else "")

    def _whose(self) -> str:
        named = sorted(self.suspended, key=lambda one: -self.suspended[one])
        more = f" and {len(named) - MOST_SUSPENDED_NAMED} more" if len(named) > MOST_SUSPENDED_NAMED else ""
        return f" ({', '.join(named[:MOST_SUSPENDED_NAMED])}{more})"
