import json

import pytest

from ingest_fn.tokens import ASK_AGAIN_S, FAILED_S, FRESH_S, STALE_S, Tokens
from shared.errors import TokensUnavailable
from shared.stored import Reference
from tests.fakes.clock import Clock

OLD, NEW, WRONG = "old-token-0123456789", "new-token-0123456789", "canary-token-0123456789"

Answer = tuple[int, bytes] | Exception


class FakeStore:
    """SSM with one parameter; what is in `trouble` is answered first. Counts its calls."""

    def __init__(self, value: str, *trouble: Answer) -> None:
        self.value = value
        self.trouble = list(trouble)
        self.calls: list[tuple[str, dict[str, object]]] = []

    def call(self, target: str, body: bytes, *, timeout_s: float) -> tuple[int, bytes]:
        assert timeout_s < 1
        self.calls.append((target, json.loads(body)))
        if self.trouble:
            answer = self.trouble.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        if target == "AmazonSSM.GetParameter":
            return 200, json.dumps({"Parameter": {"Value": self.value}}).encode()
        return 200, json.dumps({"SecretString": self.value}).encode()


def make(store: FakeStore, service: str = "ssm", name: str = "/spillway/token") -> tuple[Tokens, Clock]:
    clock = Clock()
    return Tokens(store, Reference(service, name), clock=clock), clock  # type: ignore[arg-type]


def test_a_parameter_is_decrypted_and_both_its_tokens_are_known() -> None:
    """While a token is changed there are two, and either lets in."""
    store = FakeStore(f"{NEW} {OLD}\n")
    tokens, _ = make(store)
    assert [tokens.know(token) for token in (OLD, NEW, WRONG, "", "é" * 20)] == [True, True, False, False, False]
    assert store.calls == [("AmazonSSM.GetParameter", {"Name": "/spillway/token", "WithDecryption": True})]


def test_a_secret_is_read_by_its_arn() -> None:
    """Secrets Manager serves as well."""
    store = FakeStore(OLD)
    tokens, _ = make(store, "secretsmanager", "arn:aws:secretsmanager:x")
    assert tokens.know(OLD)
    assert store.calls == [("secretsmanager.GetSecretValue", {"SecretId": "arn:aws:secretsmanager:x"})]


def test_tokens_are_read_once_in_minutes() -> None:
    """However many calls come with a known token, the store is asked when the last answer is minutes old."""
    store = FakeStore(OLD)
    tokens, clock = make(store)
    for _ in range(1_000):
        assert tokens.know(OLD)
        clock.now_s += FRESH_S / 1_000
    assert len(store.calls) == 1
    clock.now_s += 1
    assert tokens.know(OLD)
    assert len(store.calls) == 2


def test_wrong_tokens_do_not_hammer_the_store() -> None:
    """A thousand wrong tokens within a minute are a handful of calls to the store."""
    store = FakeStore(OLD)
    tokens, clock = make(store)
    for number in range(1_000):
        assert not tokens.know(f"{WRONG}{number}")
        clock.now_s += 0.06
    assert len(store.calls) <= 60 / ASK_AGAIN_S + 1


def test_a_new_token_is_known_soon_and_the_old_one_goes_within_minutes() -> None:
    """Who comes with an unknown token has us look again; a token that was taken away ends when the list is old."""
    store = FakeStore(OLD)
    tokens, clock = make(store)
    assert tokens.know(OLD)
    store.value = NEW
    clock.now_s += ASK_AGAIN_S
    assert tokens.know(NEW)
    assert not tokens.know(OLD)
    store.value = OLD
    clock.now_s += FRESH_S
    assert not tokens.know(NEW)


@pytest.mark.parametrize(
    "made", ["0123456789abcdef", "8f14e45f-ceea-467f-a0e6-3b1d2c4f5a6b", "aB!#$%&'*,;:@(){}[]|<>?"]
)
def test_a_token_looks_as_mparticle_makes_it(made: str) -> None:
    """mParticle makes it, so every character that a header carries will do."""
    tokens, _ = make(FakeStore(made))
    assert tokens.know(made)


@pytest.mark.parametrize(
    "trouble",
    [
        TimeoutError(),
        ConnectionResetError(),
        (500, b"{}"),
        (400, b'{"__type":"ThrottlingException"}'),
        (400, b'{"__type":"ParameterNotFound"}'),
        (400, b'{"__type":"AccessDeniedException"}'),
        (200, b"not JSON"),
        (200, b'{"Parameter":{"Value":5}}'),
        (200, b'{"Parameter":{"Value":"short"}}'),
        (200, b'{"Parameter":{"Value":"  "}}'),
        (200, json.dumps({"Parameter": {"Value": f"{OLD} {NEW} {WRONG}"}}).encode()),
        (200, json.dumps({"Parameter": {"Value": f'{{"token": "{OLD}"}}'}}).encode()),
    ],
)
def test_without_tokens_nobody_is_let_in_and_nobody_is_refused_for_good(trouble: Answer) -> None:
    """A store that does not answer, refuses, or holds no tokens: whatever is shown, it cannot be told."""
    tokens, clock = make(FakeStore(OLD, *[trouble] * 4))
    for token in (OLD, WRONG, ""):
        with pytest.raises(TokensUnavailable) as raised:
            tokens.know(token)
        assert OLD not in str(raised.value)
    clock.now_s += 2 * FAILED_S
    with pytest.raises(TokensUnavailable):
        tokens.know(OLD)


def test_one_lost_answer_is_tried_again_at_once() -> None:
    """A single time-out or throttle costs nobody a refusal."""
    for trouble in (TimeoutError(), (503, b""), (400, b'{"__type":"ThrottlingException"}')):
        tokens, _ = make(FakeStore(OLD, trouble))
        assert tokens.know(OLD)


def test_a_store_that_is_down_is_not_hammered() -> None:
    """With no answer the store is asked about once a second, however many calls come."""
    store = FakeStore(OLD, *[TimeoutError()] * 1_000)
    tokens, clock = make(store)
    for _ in range(100):
        with pytest.raises(TokensUnavailable):
            tokens.know(OLD)
        clock.now_s += 0.1
    assert len(store.calls) <= 2 * (10 / FAILED_S + 1)


def test_a_bad_change_is_told_while_the_known_tokens_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever puts something else in the tokens' place finds it in the log, long before calls are refused."""
    store = FakeStore(OLD)
    tokens, clock = make(store)
    assert tokens.know(OLD)
    store.value = "canary"
    clock.now_s += FRESH_S
    assert tokens.know(OLD)
    line = json.loads(capsys.readouterr().out)
    assert (line["level"], line["message"]) == ("WARNING", "the tokens could not be read")
    assert "must be one token or two" in line["error"]
    assert "canary" not in json.dumps(line)


def test_known_tokens_outlive_an_outage_of_the_store_for_a_time() -> None:
    """Who was known goes on for an hour; who is not is told to come again, since the list is old; then nobody is."""
    store = FakeStore(OLD)
    tokens, clock = make(store)
    assert tokens.know(OLD)
    store.trouble = [TimeoutError()] * 10_000
    clock.now_s += FRESH_S + 1
    assert tokens.know(OLD)
    with pytest.raises(TokensUnavailable):
        tokens.know(NEW)
    clock.now_s += STALE_S
    with pytest.raises(TokensUnavailable):
        tokens.know(OLD)
    store.trouble = []
    clock.now_s += ASK_AGAIN_S
    assert tokens.know(OLD)


def test_tokens_are_not_kept_as_they_are() -> None:
    """What an environment remembers are digests: a dump of it, or a traceback, shows no token."""
    tokens, _ = make(FakeStore(OLD))
    assert tokens.know(OLD)
    assert OLD not in repr(vars(tokens))
