"""Reading a template."""

from collections.abc import Callable, Mapping
from typing import Any

Template = dict[str, Any]
Package = Callable[..., Template]

QUEUES = {"Queue", "ParkingQueue", "DeadLetterQueue"}


def of_type(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    """The properties of every resource of a type, by logical id."""
    return {
        logical_id: resource["Properties"]
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def resolved(variables: Mapping[str, Any]) -> dict[str, str]:
    """A function's environment as it is once deployed: a queue's reference is its URL, a table's its name."""

    def value_of(value: Any) -> str:
        if isinstance(value, str):
            return value
        reference = str(value["Ref"])
        return f"https://sqs.us-east-1.amazonaws.com/0/{reference}" if reference in QUEUES else reference

    return {name: value_of(value) for name, value in variables.items()}
