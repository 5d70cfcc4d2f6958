"""The stub of a partner answers as its path asks."""

from bench.stand.partner_answers import PartnerAnswers


def ask(partner: PartnerAnswers, path: str) -> tuple[int, float]:
    _, status, _, after_s = partner.answer(path, {}, b"")
    return status, after_s


def test_a_path_names_its_latency() -> None:
    """In milliseconds; any other path has the usual one."""
    partner = PartnerAnswers(0.05)
    assert ask(partner, "/250/events") == (200, 0.25)
    assert ask(partner, "/events") == (200, 0.05)


def test_every_so_many_calls_fail_on_a_path_that_says_so() -> None:
    """The others are taken, and those of other paths are not counted."""
    partner = PartnerAnswers(0.05)
    statuses = [ask(partner, "/fails-every-3/")[0] for _ in range(6)]
    assert statuses == [200, 200, 503, 200, 200, 503]
    assert ask(partner, "/events")[0] == 200
