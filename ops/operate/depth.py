"""How many messages a queue holds, as SQS counts them: roughly."""

from dataclasses import dataclass
from typing import Any

NAMES = [f"ApproximateNumberOfMessages{of}" for of in ("", "NotVisible", "Delayed")]


@dataclass(frozen=True, slots=True)
class Depth:
    """`hidden` messages are being worked on, or wait."""

    visible: int = 0
    hidden: int = 0

    @property
    def all(self) -> int:
        return self.visible + self.hidden


def depth(sqs: Any, url: str) -> Depth:
    """Ask SQS; raises boto3's errors."""
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=NAMES)["Attributes"]
    visible, hidden, delayed = (int(found.get(name, 0)) for name in NAMES)
    return Depth(visible, hidden + delayed)
