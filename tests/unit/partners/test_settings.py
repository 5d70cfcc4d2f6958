import pytest

from partners import Rate
from partners.settings import credential, is_on, one_of, rate, settings_of, url
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
     "https://canary:word@api.acme.example"],
)  # fmt: skip
def test_what_is_no_safe_address_is_refused(text: str) -> None:
    """By the variable's name, without what was in it."""
    with pytest.raises(InvalidSettings, match=r"^U (must|can not)") as raised:
        url({"U": text}, "U")
    assert "canary" not in str(raised.value)


def test_a_rate_is_calls_a_second_or_calls_in_seconds() -> None:
    """`45/20` is 45 calls every 20 seconds; nothing is no limit; what is no rate is refused."""
    assert rate({"R": "50"}, "R") == Rate(50)
    assert rate({"R": "45/20"}, "R") == Rate(45, 20)
    assert rate({}, "R") is None
    for text in ("many", "0", "5/0", "5/x"):
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


@pytest.mark.parametrize("value", [None, "", "canary\n", "canaré", "\x7fcanary"])
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
