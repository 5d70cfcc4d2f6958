import pytest

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
