import pytest

from ops.registration.filled_in import value_of
from shared.firehose import BooleanSetting, FloatSetting, IntegerSetting, Setting, TextSetting


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        (TextSetting(id="apiKey", name="Key"), "sample-apiKey"),
        (TextSetting(id="region", name="Region", default_value="eu"), "eu"),
        (BooleanSetting(id="on", name="On", default_value=True), "true"),
        (IntegerSetting(id="most", name="Most", default_value=0), "0"),
        (IntegerSetting(id="most", name="Most", min_value=5, max_value=9), "5"),
        (IntegerSetting(id="most", name="Most", max_value=0), "0"),
        (FloatSetting(id="share", name="Share"), "1"),
    ],
)
def test_a_value_is_one_that_a_customer_may_give(setting: Setting, value: str) -> None:
    """The default, else one within its bounds, as the text that mParticle sends."""
    assert value_of(setting, "sample") == value
