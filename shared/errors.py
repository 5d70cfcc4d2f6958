"""One tree of errors, each named by what happens next.

    SpillwayError
    ├── InvalidSettings            the operator changes the deployment; nothing starts until then
    │   └── PartnerBroken          the author changes the partner's file, whose code raises (partners)
    ├── InvalidRequest             the sender changes the request; the same request can never succeed
    │   └── RequestTooLarge        one event or profile alone exceeds what a queue message can carry
    ├── QueueUnavailable           nothing was accepted, and mParticle is told so
    │   └── MessageRefused         SQS does not take this one message as it is; its neighbours go on
    ├── TokensUnavailable          callers of the Function URL cannot be checked: a 503, which mParticle tries again
    ├── SubscriptionFailed         no audience is subscribed, and mParticle is told so
    ├── StateUnavailable           the worker goes on without what the fleet shares, carefully
    │   ├── StateThrottled         the table is there: the next call may have more luck
    │   ├── StateSilent            the table is left alone for a moment
    │   ├── StateRefused           DynamoDB does not take this one item; the others are read and written as ever
    │   └── Contended              others were first too often, and what they wrote counts (shared.state)
    ├── UndecodableMessage         the worker dead-letters the message as it is, reason `undecodable`
    │   └── NewerMessage           it waits: a worker of the later release may read it
    ├── Unmappable                 the worker dead-letters the message, reason `unmappable`, as the text says
    │                              The `spillway` command says these in a line, changes nothing more, and ends with 2:
    ├── StackUnavailable           there is no such stack, or AWS cannot be asked for it
    │   └── LogsBusy               CloudWatch takes no call now; `spillway tail` waits, others end with it
    ├── LettersUnavailable         SQS did not do it; every letter is in one of the queues, or in both
    ├── NoCoolDown                 the named account or endpoint has no cool-down
    ├── NotSuspended               the named account is not suspended
    ├── UnknownVersion             there is no such version of a function
    ├── NotPromoted                these versions must not be live together
    ├── AliasNotMoved              the aliases are as the text says
    ├── TargetUnavailable          nothing is certified
    ├── RegistrationUnreadable     nothing is checked
    └── LogoUnreadable             nothing is checked

These errors are not in the tree: the caller catches them, and they go no further. One that begins with `_` does not
even leave its module.

    OSError
    ├── Unreached                  AWS was not reached and did nothing: it is asked again (shared.aws_http)
    └── Garbled                    no answer in HTTP: as a connection that broke (shared.http11)
    PermissionError
    └── Refused                    a partner's mapping reaches out: `partner check` tells (ops.partner.purity)
    Exception
    ├── Conflict                   another writer was first: the item is read and written again (shared.state)
    ├── NotAsExpected              DynamoDB's word for that: Conflict (shared.state)
    ├── Unreadable                 the store gave no text: the text read before stays valid for a while (shared.stored)
    ├── MappingUnavailable         the next tick tries again
    ├── CountsUnavailable          the gap is counted in the next hour (worker_fn.clients.counts)
    ├── OutOfTime                  a partner's code was interrupted: Unmappable
    ├── StageUnusable              no deploy begins; of a command: InvalidSettings (infra.stage)
    ├── BuildError                 no zip is built (infra.build)
    ├── LocalAwsError              no AWS on this machine: the command ends with what it says (ops.local.aws)
    ├── DemoFailed                 the demo ends with what it says (ops.demo.side)
    ├── PartnerRefused             the demo's direct design fails, as its invocation does (ops.demo.direct_stack)
    ├── Unrenderable               an objection to the logo (ops.logo.picture)
    ├── CannotMeasure              a benchmark does not begin, or is left out (bench.measure)
    └── MeasuresNothing            a benchmark's figure is left out (bench.measure)
    BaseException
    └── Killed                     a simulated environment dies, and no code of the worker may catch it (testkit.clock)

We cannot promise that mParticle repeats a request that ended in an error (docs/flow.md, section 1).

No text of any of them holds a part of a payload, a header or a response body: they end up in logs, in answers to
mParticle and in dead-letter attributes, where identities and API keys must never be.
"""

import os
from traceback import walk_tb


class SpillwayError(Exception):
    """Base of every error that Spillway raises on purpose."""


class InvalidSettings(SpillwayError):
    """An environment variable is missing or bad; the text names it and says what it should be."""


class InvalidRequest(SpillwayError):
    """A request that can never succeed: not an object, no `type`, a field of an impossible shape.

    `where` is the path of the field from the top of the request (`events[3].timestamp_ms`), `""` for the request
    itself. `problem` says in words what was expected; it never quotes the value.
    """

    def __init__(self, problem: str, where: str = "") -> None:
        super().__init__(f"{where}: {problem}" if where else problem)
        self.where = where
        self.problem = problem


class RequestTooLarge(InvalidRequest):
    """One event or user profile does not fit into a queue message, so splitting cannot help."""


class QueueUnavailable(SpillwayError):
    """The queue did not confirm every part of the request in time; none counts as accepted."""


class MessageRefused(QueueUnavailable):
    """SQS does not take this one message, now or later: its content is not allowed. The queue is well."""


class TokensUnavailable(SpillwayError):
    """The store that TOKEN_SOURCE names does not answer, refuses, or holds no tokens; the text says which."""


class SubscriptionFailed(SpillwayError):
    """The partner was too slow, refused, or its code failed or gave settings that are not registered."""


class StateUnavailable(SpillwayError):
    """The state table does not answer, or others were first too often."""


class StateThrottled(StateUnavailable):
    """The state table is there but throttled this call: others may have succeeded."""


class StateSilent(StateUnavailable):
    """The state table took no call a moment ago and is left alone for `wait_ms`. `is_throttled`: it was there."""

    def __init__(self, wait_ms: int, *, is_throttled: bool = False) -> None:
        super().__init__("the state table took no call a moment ago")
        self.wait_ms = wait_ms
        self.is_throttled = is_throttled


class StateRefused(StateUnavailable):
    """The state table never takes this one item: its key or its size is not allowed. The table is well."""


class UndecodableMessage(SpillwayError):
    """A queue message that Spillway did not write: not JSON, an unknown version or encoding, a damaged payload."""


class NewerMessage(UndecodableMessage):
    """A queue message of a later release's version: another worker may read it."""


class Unmappable(SpillwayError):
    """The partner's code took too long over a message, names or reads what it does not declare, or lacks memory."""


def raised_at(error: BaseException, folder: os.PathLike[str] | None = None) -> str:
    """File and line of the innermost frame in a file, or of those below `folder` if there is one: where to look,
    without the content that was looked at.
    """
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    frames = [(file, line) for file, line in frames if not file.startswith("<") and "importlib" not in file]
    own = [one for one in frames if folder and os.path.realpath(one[0]).startswith(f"{os.fspath(folder)}/")]
    for file, line in (own or frames)[-1:]:
        return f"{file.rpartition('/')[2]}:{line}"
    return "unknown"
