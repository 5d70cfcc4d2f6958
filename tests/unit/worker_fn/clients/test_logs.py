"""The worker's log lines contain only what is on the allow-list."""

import io
import json
import logging
import re

from aws_lambda_powertools import Logger

from worker_fn.clients.logs import SafeFormatter, logger


def test_what_is_not_on_the_allow_list_is_dropped() -> None:
    """Other fields are dropped, and so are tracebacks, whose texts may quote a payload."""
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
    """The worker's logger has the formatter, and times of RFC 3339, without which Lambda's JSON format ignores the
    level.
    """
    formatter = logger.registered_formatter
    assert isinstance(formatter, SafeFormatter)
    record = logging.LogRecord("worker", logging.WARNING, "f.py", 1, "it failed", None, None)
    said = json.loads(formatter.format(record))
    assert said["level"] == "WARNING"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", said["timestamp"])


def test_libraries_write_warnings_alone() -> None:
    """Libraries log warnings only, whatever level Lambda sets, because at lower levels they may log requests."""
    assert logging.getLogger().level == logging.WARNING
