"""The worker's tick, run now: a verb that changes what it acts on need not wait for the next one, within a minute."""

import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ops.stack import Stack, StackUnavailable

LONGEST_S = 900
"""Lambda's longest time-out."""


def run(stack: Stack) -> dict[str, Any]:
    """Invoke the live worker as its schedule does; gives the tick's report. Raises StackUnavailable."""
    payload = {"tick": {"mapping_id": stack.output("WorkerMappingId")}}
    client = stack.client("lambda", read_timeout=LONGEST_S, retries={"total_max_attempts": 1})
    try:
        answer = client.invoke(FunctionName=stack.output("WorkerAliasArn"), Payload=json.dumps(payload))
    except (BotoCoreError, ClientError) as error:
        raise StackUnavailable(
            f"the worker could not be invoked ({_name(error)}): its tick comes once a minute"
        ) from None
    report: dict[str, Any] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise StackUnavailable(f"the worker's tick failed ({report.get('errorType', 'unknown')}): look at its log")
    return report


def _name(error: BotoCoreError | ClientError) -> str:
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__
