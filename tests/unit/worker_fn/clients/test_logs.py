"""The worker's log lines: what is on the allow-list, and nothing else."""

import io
import json

from aws_lambda_powertools import Logger

from worker_fn.clients.logs import SafeFormatter, logger


def test_what_is_not_on_the_allow_list_is_dropped() -> None:
    """Fields, and tracebacks, whose texts may hold payload."""
    stream = io.StringIO()
    mine = Logger(service="worker-test", logger_formatter=SafeFormatter(), stream=stream)
    try:
        int("canary")
    except ValueError:
        mine.exception("a record failed", extra={"message_id": "m-1", "email": "canary", "body": "canary"})
    said = json.loads(stream.getvalue())
    assert (said["message"], said["message_id"]) == ("a record failed", "m-1")
    assert "canary" not in stream.getvalue()


def test_the_worker_logs_so() -> None:
    """Its own logger has the formatter."""
    assert isinstance(logger.registered_formatter, SafeFormatter)
