"""AWS's prices from its public price list: us-east-1, arm64, on demand, without the free tier. Pure.

https://aws.amazon.com/lambda/pricing/, /sqs/pricing/, /dynamodb/pricing/on-demand/, /cloudwatch/pricing/,
/eventbridge/pricing/; all prices are in dollars.
"""

import math
from dataclasses import dataclass
from enum import Enum

INVOCATION = 0.20e-6
GB_SECOND = 13.3334e-6
SQS_REQUEST = 0.40e-6
"""The price of a request to a standard queue; each 64 KiB that it sends or receives count as one request."""
SQS_UNIT_BYTES = 65_536
TABLE_READ, TABLE_WRITE = 0.125e-6, 0.625e-6
"""The prices of a consistent read of up to 4 KB, and of a write of up to 1 KB."""
LOG_BYTE = 0.50e-9
"""The price of a byte that CloudWatch takes in. Storage ($0.03 a month for each compressed GB) is left out."""
PIPES_REQUEST = 0.40e-6
API_DESTINATION_CALL = 0.20e-6

LINE_BYTES = 26
"""The bytes that CloudWatch adds to each line."""
INVOCATION_LOG_BYTES = 350
"""The bytes of START, END and REPORT, which Lambda writes for each invocation unless its JSON format is used."""
JSON_LINE_BYTES = len('"timestamp":"2026-11-28T04:40:00.123Z","level":"INFO",')
"""The most that Lambda may add to a line in its JSON format: its documentation speaks of a time and a level."""
WHOLE_PROCESSOR_MB = 1_769
"""A function with this much memory has one whole processor; one with less has a proportional part."""
RECEIVED_AT_ONCE = 10
"""The number of messages that Lambda's pollers receive, or delete, with one request."""


def billed_s(wall_s: float, cpu_s: float, memory_mb: int) -> float:
    """The time that Lambda bills for an invocation that took `wall_s` on a whole processor: on a part of one, its CPU
    time takes longer. This is an upper bound, because some of that CPU time would fall into waits for others. Lambda
    bills whole milliseconds.
    """
    part = min(1.0, memory_mb / WHOLE_PROCESSOR_MB)
    return math.ceil((wall_s + cpu_s * (1 / part - 1)) * 1_000) / 1_000


def queued(body_bytes: int) -> float:
    """The number of SQS requests for a message: a function sends it, and Lambda receives and deletes it."""
    received = math.ceil(RECEIVED_AT_ONCE * body_bytes / SQS_UNIT_BYTES) / RECEIVED_AT_ONCE
    return math.ceil(body_bytes / SQS_UNIT_BYTES) + received + 1 / RECEIVED_AT_ONCE


class Logs(Enum):
    """Whether logs are counted, and their format (LOG_FORMAT)."""

    NONE = "none"
    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Used:
    """What one request uses of everything that has a price."""

    invocations: float = 0
    gb_s: float = 0
    sqs_requests: float = 0
    table_reads: float = 0
    table_writes: float = 0
    log_bytes: float = 0
    """Bytes that the function wrote, as CloudWatch counts them."""
    log_lines: float = 0
    pipes: float = 0
    api_destinations: float = 0

    def __add__(self, other: "Used") -> "Used":
        return Used(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def logged(self, logs: Logs) -> float:
        """The bytes that CloudWatch takes in, including those that Lambda adds."""
        if logs is Logs.NONE:
            return 0
        is_text = logs is Logs.TEXT
        added = self.invocations * INVOCATION_LOG_BYTES if is_text else self.log_lines * JSON_LINE_BYTES
        return self.log_bytes + added

    def dollars(self, requests: int, *, logs: Logs) -> float:
        """The price of this many requests, with or without their logs."""
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
    """What a function wrote to its log for `units`, divided by their number."""
    lines = text.count("\n")
    return Used(log_bytes=(len(text.encode()) + lines * LINE_BYTES) / units, log_lines=lines / units)
