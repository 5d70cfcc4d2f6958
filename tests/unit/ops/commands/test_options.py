import pytest
from typer.testing import CliRunner

from ops.cli import app
from ops.commands.options import settings_of
from shared.errors import InvalidSettings


@pytest.mark.parametrize("given", ["canary", "=canary", "="])
def test_a_setting_that_is_none_is_not_quoted(given: str) -> None:
    """Its number is enough: what was meant as a value may be a credential."""
    assert settings_of(["apiKey=a=b", "empty="]) == {"apiKey": "a=b", "empty": ""}
    assert settings_of(None) == {}
    with pytest.raises(InvalidSettings) as error:
        settings_of(["apiKey=x", given])
    assert "number 2" in str(error.value)
    assert "canary" not in str(error.value)


@pytest.mark.parametrize(
    "verb", [("dlq", "redrive", "--rate"), ("dlq", "import", "x.gz", "--rate"), ("demo", "--partner-rate")]
)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_rate_that_is_no_number_is_refused(verb: tuple[str, ...], value: str) -> None:
    """Before anything is asked of AWS: a pace of `nan` never sends, and waits for ever."""
    done = CliRunner().invoke(app, [*verb, value])
    assert done.exit_code == 2
    assert isinstance(done.exception, SystemExit)
