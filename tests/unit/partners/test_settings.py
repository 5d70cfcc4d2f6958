import json

import pytest

from partners import Rate, Secret
from partners.settings import credential, headers, host_of, is_on, one_of, rate, secret_headers, settings_of, url
from shared.errors import InvalidRequest, InvalidSettings
from shared.firehose import parse_request


def test_a_variable_with_few_values_has_its_first_one_unless_it_is_set() -> None:
    """Absent and empty mean the first; anything else is refused with the variable's name and its values."""
    assert one_of({}, "ACME_REGION", ("us", "eu")) == "us"
    assert one_of({"ACME_REGION": ""}, "ACME_REGION", ("us", "eu")) == "us"
    assert one_of({"ACME_REGION": "eu"}, "ACME_REGION", ("us", "eu")) == "eu"
    with pytest.raises(InvalidSettings, match="ACME_REGION must be one of us, eu"):
        one_of({"ACME_REGION": "EU"}, "ACME_REGION", ("us", "eu"))


def test_an_address_is_taken_as_it_was_written() -> None:
    """With https, or with http to this machine; the default where it is not set."""
    for text in ("https://api.acme.example/v1/", "http://127.0.0.1:4611", "http://[::1]:80/"):
        assert url({"U": text}, "U", "https://other.example") == text
    assert url({"U": ""}, "U", "https://api.acme.example") == "https://api.acme.example"


@pytest.mark.parametrize(
    "text",
    ["", "api.acme.example", "http://api.acme.example", "http://127.0.0.1.acme.example", "https:///v1", "https://[x",
     "https://canary:word@api.acme.example", "https://hook..example", "https://hook.example:80800", "https://h.example/\n"],
)  # fmt: skip
def test_what_is_no_safe_address_is_refused(text: str) -> None:
    """By the variable's name, without what was in it."""
    with pytest.raises(InvalidSettings, match=r"^U (must|can not|has) ") as raised:
        url({"U": text}, "U")
    assert "canary" not in str(raised.value)


def test_a_rate_is_calls_a_second_or_calls_in_seconds() -> None:
    """`45/20` is 45 calls every 20 seconds; nothing is no limit; what is no rate is refused."""
    assert rate({"R": "50"}, "R") == Rate(50)
    assert rate({"R": "45/20"}, "R") == Rate(45, 20)
    assert rate({}, "R") is None
    assert rate({"R": " 0.5 "}, "R") == Rate(0.5)
    odd = ("many", "0", "5/0", "5/x", "nan", "inf", "-1", "1e400", "1e-400", "1e3", "0.0001", "2000000", "1/99999999")
    for text in (*odd, "45/", "/20", "45/20/3", "\uff15\uff10", "1_000", "50 a second", "0/5", "45//20", "5,5"):
        with pytest.raises(InvalidSettings, match=r"^R must be"):
            rate({"R": text}, "R")


@pytest.mark.parametrize("text", ["True", "true", "TRUE", " true "])
def test_a_boolean_setting_is_on(text: str) -> None:
    """mParticle writes booleans as text, in any case."""
    assert is_on({"s": text}, "s")


@pytest.mark.parametrize("text", ["False", "false", "", "0", "1", "yes", "on", "t", None])
def test_a_boolean_setting_is_off(text: str | None) -> None:
    """The text "False" is not true, and neither is anything that is not the word true."""
    assert not is_on({"s": text}, "s")
    assert not is_on({}, "s")


@pytest.mark.parametrize(
    "headers_text",
    [
        "{", "[]", "5", "null", '"X"', '{"X": 5}',
        '{"X": null}', '{"X Y": "z"}', '{"": "z"}', '{"X:": "z"}', '{"X": "a\\nb"}',
        '{"X": "a\\r\\nY: 1"}', '{"X": "\u00e9"}', '{"X": " a"}', '{"X": "a "}', '{"X": "1", "x": "canary"}',
        '{"X": "1", "X": "2"}',
        '{"Host": "h"}', '{"content-length": "5"}', '{"Transfer-Encoding": "chunked"}', '{"CONNECTION": "close"}',
        '{"idempotency-key": "k"}', '{"Webhook-Id": "i"}', '{"authorization": "canary"}', "[" * 100_000,
    ],
)  # fmt: skip
def test_headers_that_cannot_work_are_refused(headers_text: str) -> None:
    """By the variable's name and the header's, without any value; secret ones by the same rule."""
    with pytest.raises(InvalidSettings, match=r"^H ") as raised:
        headers({"H": headers_text}, "H", taken=["Authorization"])
    assert "canary" not in str(raised.value)
    with pytest.raises(InvalidSettings, match=r"^H "):
        secret_headers({"H": headers_text}, "H", taken=["Authorization"])


def test_headers_are_texts_by_name() -> None:
    """None where nothing is set; another name may be in any case."""
    assert headers({}, "H") == headers({"H": ""}, "H") == secret_headers({}, "H") == {}
    assert headers({"H": '{"x-Source": "mp", "User-Agent": "acme"}'}, "H") == {"x-Source": "mp", "User-Agent": "acme"}
    assert secret_headers({"H": '{"X-Key": "k"}'}, "H") == {"X-Key": Secret("k")}


def test_secret_headers_that_were_not_read_are_not_there() -> None:
    """A reference alone is no header: what was not put in its place can not be sent by mistake."""
    assert secret_headers({"H": "ssm:/acme/headers"}, "H") is None
    assert "canary" not in repr(secret_headers({"H": json.dumps({"X": "canary"})}, "H"))


@pytest.mark.parametrize(
    "value", [None, "", " ", "canary\n", "canaré", "\x7fcanary", " canary", "canary ", "canary\t", "can\x00ary"]
)
def test_a_credential_that_fits_into_no_header_is_the_customers_to_mend(value: str | None) -> None:
    """The error names the setting and not what is in it."""
    with pytest.raises(InvalidRequest, match=r"account\.account_settings\.apiKey") as raised:
        credential({"apiKey": value}, "apiKey")
    assert "canar" not in str(raised.value)


def test_a_credential_shows_itself_to_nobody() -> None:
    """It is a Secret."""
    found = credential({"apiKey": "canary"}, "apiKey")
    assert found.value == "canary"
    assert "canary" not in f"{found} {found!r}"


def test_settings_of_a_request() -> None:
    """The account's settings as text by id; a request without an account has none."""
    request = {"type": "event_processing_request", "account": {"account_settings": {"n": 5, "b": True, "none": None}}}
    assert settings_of(parse_request(request)) == {"n": "5", "b": "true"}
    assert settings_of(parse_request({"type": "event_processing_request"})) == {}
    assert settings_of(parse_request({"type": "module_registration_request"})) == {}


HOSTS = {"us": "https://us.acme.example", "EU": "https://eu.acme.example"}


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({}, "us"),
        ({"region": ""}, "us"),
        ({"region": None}, "us"),
        ({"region": "eu"}, "EU"),
        ({"region": " EU\n"}, "EU"),
    ],
)
def test_a_customer_chooses_one_of_the_hosts_that_there_are(settings: dict[str, str | None], host: str) -> None:
    """The first where none is set; blanks and capitals mean nothing."""
    assert host_of(settings, "region", HOSTS) == HOSTS[host]


@pytest.mark.parametrize(
    "value", ["mars", "https://us.acme.example", "us.acme.example", "us/", "us@evil", " ", "eu\x00"]
)
def test_another_host_is_refused_and_not_quoted(value: str) -> None:
    """It is the message's own fault, named by the setting."""
    with pytest.raises(InvalidRequest) as raised:
        host_of({"region": value}, "region", HOSTS)
    assert str(raised.value) == "account.account_settings.region: must be one of us, EU"
