"""The worker's logger: Powertools, with nothing in a line that is not on the allow-list."""

import logging
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from shared.telemetry import safe


class SafeFormatter(LambdaPowertoolsFormatter):
    """Drops every field that shared.telemetry does not allow, tracebacks included: exception texts may hold payload."""

    def serialize(self, log: Any) -> str:
        return super().serialize(safe(log))


logger = Logger(service="worker", logger_formatter=SafeFormatter(utc=True, use_rfc3339=True))
logging.getLogger().setLevel(logging.WARNING)
"""The level for libraries, which may log what they send. It is Python's own; LOG_FORMAT=json makes it INFO."""
