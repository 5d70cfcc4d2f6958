"""What both functions read of the environment."""

import pytest

from shared.environment import endpoint_of, one_of
from shared.errors import InvalidSettings

QUEUE = {"QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/1/q"}


def test_a_variable_with_few_values_has_one_of_them() -> None:
    """The first where nothing is said; another one is refused by its name, and is not repeated."""
    said = [one_of(env, "COLOUR", ("red", "blue")) for env in ({}, {"COLOUR": ""}, {"COLOUR": "blue"})]
    assert said == ["red", "red", "blue"]
    with pytest.raises(InvalidSettings, match="COLOUR must be one of red, blue") as raised:
        one_of({"COLOUR": "canary"}, "COLOUR", ("red", "blue"))
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    ("more", "endpoint"),
    [
        ({}, "https://secretsmanager.eu-west-1.amazonaws.com"),
        ({"AWS_ENDPOINT_URL": "http://all"}, "http://all"),
        ({"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://own"}, "http://own"),
        ({"AWS_ENDPOINT_URL_SSM": "http://another"}, "https://secretsmanager.eu-west-1.amazonaws.com"),
        ({"QUEUE_URL": "http://127.0.0.1:4566/1/q"}, "https://secretsmanager.eu-west-1.amazonaws.com"),
    ],
)
def test_a_service_is_called_where_the_sdks_would_call_it(more: dict[str, str], endpoint: str) -> None:
    """By its own variable, that of all services, or the region's address."""
    assert endpoint_of("secretsmanager", {**QUEUE, **more}, region="eu-west-1") == endpoint


def test_a_service_is_called_in_the_partition_of_the_queue() -> None:
    """In China AWS has another domain."""
    env = {"QUEUE_URL": "https://sqs.cn-north-1.amazonaws.com.cn/1/q"}
    assert endpoint_of("dynamodb", env, region="cn-north-1") == "https://dynamodb.cn-north-1.amazonaws.com.cn"
