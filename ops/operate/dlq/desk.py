"""Where the verbs of `spillway dlq` work: a stage's queues of letters, its state table, and the screen."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from ops.operate.dlq import screens
from ops.operate.dlq.forecast import Named, only_its_name
from ops.operate.dlq.look import Looked
from ops.operate.dlq.queues import LetterQueue
from ops.operate.stack import Stack

EXPORTS = Path("dlq-exports")


@dataclass(frozen=True)
class Desk:
    """A stage's letters, and where to print."""

    stack: Stack
    console: Console
    now_ms: Callable[[], int] = lambda: int(time.time() * 1_000)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    exports: Path = EXPORTS
    named: Named = only_its_name
    """Says, by a worker's environment variables, to where it delivers."""

    @property
    def dead(self) -> LetterQueue:
        return LetterQueue(self._sqs, self.stack.output("DlqUrl"))

    @property
    def main(self) -> LetterQueue:
        return LetterQueue(self._sqs, self.stack.output("QueueUrl"))

    @cached_property
    def _sqs(self) -> Any:
        return self.stack.client("sqs", max_pool_connections=32)

    def say(self, text: str, style: str = "none") -> None:
        self.console.print(Text(text, style=style))

    def say_notes(self, looked: Looked) -> None:
        """Say what a look may have missed."""
        screens.show_notes(looked, self.console, is_fifo=self.dead.is_fifo)
