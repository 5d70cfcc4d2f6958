"""Nothing but Lambda's runtime client, which is part of every cold start."""

from typing import Any


def handler(event: object, context: object) -> dict[str, Any]:
    return {}
