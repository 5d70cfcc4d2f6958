"""Nothing but Lambda's runtime client: what every cold start has."""

from typing import Any


def handler(event: object, context: object) -> dict[str, Any]:
    return {}
