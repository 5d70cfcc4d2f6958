"""Start MiniStack with what it lacks of AWS, where Spillway's behaviour depends on it.

Run as a script by `ops.local.aws`, in the interpreter of `.venv-aws`, which has MiniStack and nothing of ours. Each
shim replaces a private function of the one version that requirements/local-aws.in pins. It goes when MiniStack does the
same by itself: `tests/e2e/test_local_aws.py` looks at each behaviour with the shims and without.

`SPILLWAY_SHIMS` in the environment chooses (names joined by commas; `all` without it).
"""

import hashlib
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

from ministack import app
from ministack.core import iam_actions, iam_evaluator, lambda_runtime, responses
from ministack.services import dynamodb, iam, lambda_svc, sqs
from ministack.services.cloudformation import provisioners

INVOKE_PATH = re.compile(
    r"^/2015-03-31/functions/(?P<function>arn:aws:lambda:(?P<region>[a-z0-9-]+):(?P<owner>[0-9]{12}):function:(?P<name>[^:/]+))"
    r"(?::(?P<qualifier>[^/]+))?/invocations\Z"
)
MAPPING_BATCH_BYTES = 6 * 1024 * 1024
"""A batch is an invocation's payload, 6 MB at most (Lambda quota)."""


def alias_concurrency() -> None:
    """A function's reserved concurrency holds for its aliases, too; MiniStack looks for it on $LATEST only."""
    of_record = lambda_svc._reserved_concurrency

    def reserved(record: Any, config: Any) -> int | None:
        limit: int | None = of_record(record, config)
        if limit is not None:
            return limit
        function = lambda_svc._functions.get(config.get("FunctionName"))
        limit = function.get("concurrency") if function else None
        return None if limit is None else int(limit)

    lambda_svc._reserved_concurrency = reserved


def foreign_invoke() -> None:
    """Another account invokes by ARN if the resource policy says so; MiniStack looks in the caller's own account."""
    in_own_account = lambda_svc.handle_request

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        asked = INVOKE_PATH.match(unquote(path))
        caller = responses.get_account_id()
        if method != "POST" or not asked or asked["owner"] == caller:
            return await in_own_account(method, path, headers, body, query)
        given = query.get("Qualifier")
        qualifier = asked["qualifier"] or (given[0] if isinstance(given, list) else given)
        arn = f"{asked['function']}:{qualifier}" if qualifier else asked["function"]
        if not may_invoke(caller, arn, asked["owner"], asked["region"], asked["name"]):
            return denied(caller, arn)
        as_owner = responses._request_account_id.set(asked["owner"])
        try:
            return await in_own_account(method, path, headers, body, query)
        finally:
            responses._request_account_id.reset(as_owner)

    lambda_svc.handle_request = handle


def may_invoke(caller: str, arn: str, owner: str, region: str, name: str) -> bool:
    """Ask the function's resource policy."""
    function = lambda_svc._functions.get_scoped(owner, region, name)
    if not function:
        return False
    asked = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:iam::{caller}:root", principal_type="Account", principal_account=caller,
        action="lambda:InvokeFunction", resource_arn=arn, region=region,
    )  # fmt: skip
    return bool(iam_evaluator.evaluate_resource_policy(function["policy"], asked).decision == "Allow")


def denied(caller: str, arn: str) -> tuple[int, dict[str, str], bytes]:
    """Answer as Lambda does, whether the function exists or not: a stranger does not learn which."""
    text = (
        f"User: arn:aws:iam::{caller}:root is not authorized to perform: lambda:InvokeFunction on resource: {arn} "
        "because no resource-based policy allows the lambda:InvokeFunction action"
    )
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": "AccessDeniedException"}
    return 403, headers, json.dumps({"__type": "AccessDeniedException", "Message": text}).encode()


def move_tasks() -> None:
    """Redrive of a dead-letter queue, which MiniStack has not: done at once, and listed afterwards."""
    tasks: list[dict[str, Any]] = []

    def sources(arn: str) -> list[Any]:
        return [q for _, q in sqs._queues.all_items() if arn in q["attributes"].get("RedrivePolicy", "")]

    def start(request: dict[str, Any], _url: str) -> dict[str, Any]:
        source = sqs._queue_by_arn(request["SourceArn"])
        if source is None:
            raise sqs._Err(
                "ResourceNotFoundException",
                "The resource that you specified for the SourceArn parameter doesn't exist.",
            )
        if not sources(request["SourceArn"]):
            raise sqs._Err("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
        task = {
            "TaskHandle": responses.new_uuid(),
            "StartedTimestamp": int(time.time() * 1000),
            **move(source, request),
        }
        tasks.insert(0, task)
        return {"TaskHandle": task["TaskHandle"]}

    def move(source: Any, request: dict[str, Any]) -> dict[str, Any]:
        chosen, now = request.get("DestinationArn"), time.time()
        stay, moved, homeless = [], 0, 0
        with sqs._queues_lock:
            for message in source["messages"]:
                # Only SQS itself notes where a message died: one that was sent here by a program has no way back.
                back = chosen or message["sys"].get("DeadLetterQueueSourceArn")
                target = sqs._queue_by_arn(back) if back else None
                if message["visible_at"] > now or target is None:
                    homeless += message["visible_at"] <= now
                    stay.append(message)
                    continue
                system = {k: v for k, v in message["sys"].items() if k != "DeadLetterQueueSourceArn"}
                fresh = {
                    "receive_count": 0,
                    "receipt_handle": None,
                    "first_receive_at": None,
                    "visible_at": now,
                    "enqueued_at": now,
                }
                target["messages"].append({**message, **fresh, "sys": system})
                moved += 1
            source["messages"] = stay
        sqs.esm_wake.set()
        outcome = (
            {"Status": "FAILED", "FailureReason": "CouldNotDetermineMessageSource"}
            if homeless
            else {"Status": "COMPLETED"}
        )
        counts = {"ApproximateNumberOfMessagesMoved": moved, "ApproximateNumberOfMessagesToMove": moved + homeless}
        return {
            "SourceArn": request["SourceArn"],
            **({"DestinationArn": chosen} if chosen else {}),
            **outcome,
            **counts,
        }

    def list_tasks(request: dict[str, Any], _url: str) -> dict[str, Any]:
        of_queue = [task for task in tasks if task["SourceArn"] == request["SourceArn"]]
        return {"Results": of_queue[: int(request.get("MaxResults", 1))]}

    def list_sources(request: dict[str, Any], _url: str) -> dict[str, Any]:
        arn = sqs._get_q(request["QueueUrl"])["attributes"]["QueueArn"]
        return {"queueUrls": [sqs._queue_url(q["name"]) for q in sources(arn)]}

    sqs._HANDLERS.update(
        StartMessageMoveTask=start, ListMessageMoveTasks=list_tasks, ListDeadLetterSourceQueues=list_sources
    )


def mapping_batches() -> None:
    """Batches of over 10 messages, up to 6 MB, gathered for the window; MiniStack stops at 10 and never waits."""

    def receive(url: str, batch_size: int) -> Any:
        with sqs._queues_lock:
            queue, now = sqs._get_q(url), time.time()
            sqs._expire_retained(queue)
            sqs._dlq_sweep(queue)
            waiting = [message for message in queue["messages"] if message["visible_at"] <= now]
            count, size = 0, 0
            while count < min(batch_size, len(waiting)) and size + len(waiting[count]["body"]) <= MAPPING_BATCH_BYTES:
                size += len(waiting[count]["body"])
                count += 1
            full = count == batch_size or count < len(waiting)
            oldest = min((message["visible_at"] for message in waiting), default=now)
            if not count or (not full and now - oldest < window_s(queue["attributes"]["QueueArn"])):
                return []
            return sqs._collect_msgs(queue, count, int(queue["attributes"].get("VisibilityTimeout", "30")))

    def window_s(arn: str) -> float:
        mappings = [mapping for _, mapping in lambda_svc._esms.all_items() if mapping.get("EventSourceArn") == arn]
        return max((mapping.get("MaximumBatchingWindowInSeconds") or 0 for mapping in mappings), default=0)

    sqs._receive_messages_for_esm = receive


def batch_failures() -> None:
    """An answer that names an unknown message fails its whole batch; MiniStack ignores it and deletes every message."""
    run_batch, execute = lambda_svc._run_sqs_batch, lambda_svc._execute_function
    running = threading.local()

    def run(mapping: Any, function: Any, event: Any, batch: Any, *rest: Any) -> Any:
        if "ReportBatchItemFailures" in mapping.get("FunctionResponseTypes", []):
            running.ids = {message["id"] for message in batch}
        try:
            return run_batch(mapping, function, event, batch, *rest)
        finally:
            running.ids = None

    def execute_checked(function: Any, event: Any) -> Any:
        result = execute(function, event)
        ids = getattr(running, "ids", None)
        if ids is None or result.get("error") or all(known(failure, ids) for failure in reported(result.get("body"))):
            return result
        wrong = {
            "errorType": "InvalidBatchItemFailures",
            "errorMessage": "a batchItemFailures entry names no message of the batch",
        }
        return {**result, "error": True, "body": wrong}

    def reported(body: Any) -> list[Any]:
        failures = body.get("batchItemFailures") if isinstance(body, dict) else None
        return failures if isinstance(failures, list) else [] if failures is None else [failures]

    def known(failure: Any, ids: set[str]) -> bool:
        return isinstance(failure, dict) and failure.get("itemIdentifier") in ids

    lambda_svc._run_sqs_batch, lambda_svc._execute_function = run, execute_checked


def batch_permissions() -> None:
    """SQS's batch calls need the permission of the single call; MiniStack asks for one that IAM does not know."""
    asked_for = iam_actions.extract_iam_action

    def action(*request: Any, **more: Any) -> Any:
        named = asked_for(*request, **more)
        return named.removesuffix("Batch") if str(named).startswith("sqs:") else named

    iam_actions.extract_iam_action = action


def mapping_permissions() -> None:
    """One mapping, alias or reservation is read and changed with permissions of its own; MiniStack asks for that of
    listing or of writing, or for none.
    """
    asked_for = iam_actions._lambda_action
    one_mapping = re.compile(r"/event-source-mappings/[^/]+/?\Z")
    one_alias, reservation = (
        re.compile(r"/functions/[^/]+/aliases/[^/]+/?\Z"),
        re.compile(r"/functions/[^/]+/concurrency/?\Z"),
    )
    verbs = {"GET": "Get", "PUT": "Update", "DELETE": "Delete"}

    def action(method: str, path: str) -> str | None:
        if method in verbs and one_mapping.search(path):
            return f"{verbs[method]}EventSourceMapping"
        if method in verbs and one_alias.search(path):
            return f"{verbs[method]}Alias"
        if method in verbs and reservation.search(path):
            return {"GET": "GetFunctionConcurrency", "PUT": "PutFunctionConcurrency"}.get(
                method, "DeleteFunctionConcurrency"
            )
        named: str | None = asked_for(method, path)
        return named

    iam_actions._lambda_action = action


def condition_keys() -> None:
    """What a policy asks of a role's boundary, a mapping's function or a redrive's queue is judged; MiniStack fills in
    none of them.
    """
    of_request, enforced = iam_actions.request_tag_context, iam_evaluator.enforce
    named = iam_actions.extract_resource_arn
    given = "iam:PermissionsBoundary"

    def asked(service: str, action: str, body: bytes, params: Any) -> Any:
        keys = of_request(service, action, body, params)
        said = (params or {}).get("PermissionsBoundary") if service == "iam" else None
        said = said[0] if isinstance(said, list) and said else said
        return {**keys, given: said} if said else keys

    def resource(service: str, method: str, path: str, headers: Any, body: bytes, *rest: Any) -> Any:
        moved = re.search(rb'"SourceArn": ?"(arn:[^"]+)"', body or b"") if service == "sqs" else None
        return moved[1].decode() if moved else named(service, method, path, headers, body, *rest)

    def enforce(*request: str, resource_arn: str = "*", service_context: Any = None) -> Any:
        service = request[2]
        context = dict(service_context or {})
        name = resource_arn.rpartition("/" if service == "iam" else ":")[2]
        if service == "iam" and given not in context:
            context[given] = (iam._roles.get(name) or {}).get("PermissionsBoundary")
        elif service == "lambda" and ":event-source-mapping:" in resource_arn:
            context["lambda:FunctionArn"] = (lambda_svc._esms.get(name) or {}).get("FunctionArn")
        known = {name: value for name, value in context.items() if value is not None}
        return enforced(*request, resource_arn=resource_arn, service_context=known)

    iam_actions.request_tag_context, iam_evaluator.enforce = asked, enforce
    iam_actions.extract_resource_arn = resource


def table_ttl() -> None:
    """A table's TTL is in its template; MiniStack's CloudFormation passes it over."""
    handlers = provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]
    create = handlers["create"]

    def with_ttl(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        made = create(logical_id, props, stack_name)
        if "TimeToLiveSpecification" in props:
            spec = props["TimeToLiveSpecification"]
            enabled = str(spec.get("Enabled")).lower() == "true"
            dynamodb._update_ttl({"TableName": made[0], "TimeToLiveSpecification": {**spec, "Enabled": enabled}})
        return made

    handlers["create"] = with_ttl


def fast_logs() -> None:
    """MiniStack waits 50 ms for a line of a handler that prints none; on a pipe of this machine 3 ms are enough."""
    lambda_runtime.Worker._drain_stderr_bounded.__defaults__ = (0.003, 0.001, 0.25)


def shared_code() -> None:
    """MiniStack unzips a function of 20 MB for each worker; here once, and workers have links: 40 start in a third."""
    unzipped: dict[str, Path] = {}
    one_at_a_time = threading.Lock()

    class LinkingZip(zipfile.ZipFile):
        def extractall(self, path: Any = None, members: Any = None, pwd: Any = None) -> None:
            digest = hashlib.sha256(Path(str(self.filename)).read_bytes()).hexdigest()
            with one_at_a_time:
                if digest not in unzipped:
                    folder = Path(os.environ["TMPDIR"], f"code-{digest[:16]}")
                    super().extractall(folder, members, pwd)
                    unzipped[digest] = folder
            shutil.copytree(unzipped[digest], path, copy_function=os.link, dirs_exist_ok=True)

    lambda_runtime.zipfile = SimpleNamespace(**{**vars(zipfile), "ZipFile": LinkingZip})


SHIMS: dict[str, Callable[[], None]] = {
    shim.__name__: shim
    for shim in (
        alias_concurrency,
        foreign_invoke,
        move_tasks,
        mapping_batches,
        batch_failures,
        batch_permissions,
        mapping_permissions,
        condition_keys,
        table_ttl,
        fast_logs,
        shared_code,
    )
}


def die_with_parent() -> None:
    """End this process group and remove its folder when standard input closes: whoever started us is gone.

    A parent that is killed cannot clean up, and an embedded AWS with a hundred workers must not outlive it.
    """
    while os.read(0, 1024):
        pass
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os.killpg(os.getpgid(0), signal.SIGKILL)


def main() -> None:
    """Install the shims and serve until stopped."""
    chosen = os.environ.get("SPILLWAY_SHIMS", "all")
    for name, install in SHIMS.items():
        if chosen == "all" or name in chosen.split(","):
            install()
    threading.Thread(target=die_with_parent, daemon=True).start()
    sys.exit(app.main())


if __name__ == "__main__":
    main()
