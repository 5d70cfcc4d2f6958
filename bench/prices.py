"""What AWS asks for, by its public price list: us-east-1, arm64, on demand, without the free tier. Pure.

https://aws.amazon.com/lambda/pricing/, /sqs/pricing/, /dynamodb/pricing/on-demand/, /cloudwatch/pricing/,
/eventbridge/pricing/; the prices are dollars.
"""

import math
from dataclasses import dataclass
from enum import Enum

INVOCATION = 0.20e-6
GB_SECOND = 13.3334e-6
SQS_REQUEST = 0.40e-6
"""Of a standard queue, for each 64 KiB of what is sent or received."""
SQS_UNIT_BYTES = 65_536
TABLE_READ, TABLE_WRITE = 0.125e-6, 0.625e-6
"""Of an item of up to 4 KB that is read consistently, and of 1 KB that is written."""
LOG_BYTE = 0.50e-9
"""Taken in; keeping costs $0.03 a GB and month of what is compressed, and is left out."""
PIPES_REQUEST = 0.40e-6
API_DESTINATION_CALL = 0.20e-6

LINE_BYTES = 26
"""CloudWatch adds to each line."""
INVOCATION_LOG_BYTES = 350
"""START, END and REPORT of an invocation, which Lambda itself writes; in its JSON format it can be told not to."""
JSON_LINE_BYTES = len('"timestamp":"2026-11-28T04:40:00.123Z","level":"INFO",')
"""What it may add to a line in that format, at most: its documentation speaks of a time and a level."""
WHOLE_PROCESSOR_MB = 1_769
"""A Lambda with so much memory has one processor; another has its part of it."""
RECEIVED_AT_ONCE = 10
"""Messages that Lambda's pollers receive, and delete, with one request."""


def billed_s(wall_s: float, cpu_s: float, memory_mb: int) -> float:
    """What Lambda bills for an invocation that took so long on a whole processor: its CPU takes longer on a part.
    At most that, as CPU that would have been used while others were waited for counts as well; whole milliseconds.
    """
    part = min(1.0, memory_mb / WHOLE_PROCESSOR_MB)
    return math.ceil((wall_s + cpu_s * (1 / part - 1)) * 1_000) / 1_000


def queued(body_bytes: int) -> float:
    """SQS's requests for a message, that a function sends and Lambda receives and deletes."""
    received = math.ceil(RECEIVED_AT_ONCE * body_bytes / SQS_UNIT_BYTES) / RECEIVED_AT_ONCE
    return math.ceil(body_bytes / SQS_UNIT_BYTES) + received + 1 / RECEIVED_AT_ONCE


class Logs(Enum):
    """Whether logs are counted, and in which of Lambda's formats they are: LOG_FORMAT."""

    NONE = "none"
    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Used:
    """What one request takes, of each thing that has a price."""

    invocations: float = 0
    gb_s: float = 0
    sqs_requests: float = 0
    table_reads: float = 0
    table_writes: float = 0
    log_bytes: float = 0
    """As CloudWatch counts what the function wrote."""
    log_lines: float = 0
    pipes: float = 0
    api_destinations: float = 0

    def __add__(self, other: "Used") -> "Used":
        return Used(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def logged(self, logs: Logs) -> float:
        """Bytes that CloudWatch takes in, those that Lambda adds included."""
        if logs is Logs.NONE:
            return 0
        is_text = logs is Logs.TEXT
        added = self.invocations * INVOCATION_LOG_BYTES if is_text else self.log_lines * JSON_LINE_BYTES
        return self.log_bytes + added

    def dollars(self, requests: int, *, logs: Logs) -> float:
        """Of so many requests, with what their logs cost or without."""
        one = (
            self.invocations * INVOCATION
            + self.gb_s * GB_SECOND
            + self.sqs_requests * SQS_REQUEST
            + self.table_reads * TABLE_READ
            + self.table_writes * TABLE_WRITE
            + self.pipes * PIPES_REQUEST
            + self.api_destinations * API_DESTINATION_CALL
        )
        return requests * (one + self.logged(logs) * LOG_BYTE)


def written(text: str, units: float) -> Used:
    """What a function wrote, of one unit of so many."""
    lines = text.count("\n")
    return Used(log_bytes=(len(text.encode()) + lines * LINE_BYTES) / units, log_lines=lines / units)
