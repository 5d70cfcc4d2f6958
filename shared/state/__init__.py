"""The state table, in which the fleet keeps what it shares: how worker and tools talk to DynamoDB.

Ingest does that without boto3, for two kinds of item (ingest_fn/suspended.py, ingest_fn/receipts.py).

One table, keys `pk` and `sk`; every item is small, and all but the partner's own expire by TTL (`expires_at`, seconds):

    partner       flow        rate, limit, cool-down, breaker of the partner        worker_fn/limits/flow.py
    account#7     flow        the same for one account, where the partner limits accounts
    account#7#events/bulk flow  and for its calls of one bulk endpoint, where that has a rate of its own
    partner, account#7 by_hand  who set a limit or the breaker, and why        ops/operate/by_hand.py
    suspended     7#<fingerprint> credentials of an account that the partner refuses worker_fn/accounts/suspensions.py
    cleared       7#<fingerprint> when they were cleared last, and whether by a message that arrived
    progress#7 <id> <part>    which deliveries of a message are done                worker_fn/batch/progress.py
    trail         <ms>#<hex>  what an operator did, who and why                     ops/operate/trail.py
    dsr#<id>      7 <request> when an erasure was accepted and what became of it    shared/receipts.py

Every key that is made of a request's id also has the account's id (empty without an account), because two accounts may
have requests with the same id.

Everything here can be lost, or out of reach, without losing a message: callers catch StateUnavailable and go on
without it.

`keys` has the keys, `items` what is stored under them, `dynamo` makes the calls (by boto3; the worker's own are in
worker_fn/clients/signed_state.py), `patient` backs off from a table that does not answer, and `changes` writes items
that others write, too.
"""

from shared.message import of_account
from shared.state.changes import change, change_item
from shared.state.dynamo import DynamoState, NotAsExpected, OnDate, StateTable, failure_of, item_of
from shared.state.items import (
    COOL_FROM,
    COOL_UNTIL,
    FIRST_REV,
    NO_COUNTS,
    Conflict,
    Contended,
    Item,
    State,
    fields_in,
    whole_in,
)
from shared.state.keys import (
    BY_HAND,
    CLEARED,
    FLOW,
    PARTNER,
    SUSPENDED,
    TRAIL,
    account_key,
    former_progress_key,
    progress_key,
)
from shared.state.patient import ANSWER_WITHIN_S, Patient

__all__ = [
    "ANSWER_WITHIN_S",
    "BY_HAND",
    "CLEARED",
    "COOL_FROM",
    "COOL_UNTIL",
    "FIRST_REV",
    "FLOW",
    "NO_COUNTS",
    "PARTNER",
    "SUSPENDED",
    "TRAIL",
    "Conflict",
    "Contended",
    "DynamoState",
    "Item",
    "NotAsExpected",
    "OnDate",
    "Patient",
    "State",
    "StateTable",
    "account_key",
    "change",
    "change_item",
    "failure_of",
    "fields_in",
    "former_progress_key",
    "item_of",
    "of_account",
    "progress_key",
    "whole_in",
]
