"""Where each thing stands in the state table: the keys of the layout that the package draws."""

from shared.message import of_account

FLOW = "flow"
PARTNER = "partner"
SUSPENDED = "suspended"
CLEARED = "cleared"
TRAIL = "trail"
BY_HAND = "by_hand"


def account_key(account_id: str, endpoint: str | None = None) -> str:
    name = account_id.replace("%", "%25").replace("#", "%23")  # which no account of mParticle's has in its id
    return f"account#{name}" if endpoint is None else f"account#{name}#{endpoint}"


def progress_key(account_id: str | None, request_id: str) -> str:
    return f"progress#{of_account(account_id, request_id)}"


def former_progress_key(request_id: str) -> str:
    """The key of the previous release, which did not have the account in it."""
    return f"message#{request_id}"
