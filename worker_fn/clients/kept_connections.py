"""Which of the connections that libcurl keeps may be used again: checked before a byte of a call is sent on it.

libcurl sees whether a kept connection is closed, but not whether unexpected bytes have arrived on it, which would be
taken for the next call's answer. It also measures idle time by a clock that may stop in a frozen environment.
"""

import select
import socket
from collections.abc import Callable, Sequence

from shared.partner_http import Ends

IDLE_S = 45
"""Load balancers and proxies close an idle connection after 60 s and more; some drop it without closing it."""


class Kept:
    """The descriptor and the last use of each connection; times by the wall clock."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._used: dict[Ends, tuple[int, float]] = {}
        """Connection -> descriptor, and when. A descriptor opened anew replaces its entry, so this stays small."""

    def may_be_used(self, connection: Ends, opened: Sequence[int]) -> bool:
        """Whether a call may go over a connection: one of those that were `opened` for it, or one that was used lately
        and lies silent.
        """
        for descriptor in opened:
            if _port_of(descriptor) == connection.local_port:
                self._used = {ends: used for ends, used in self._used.items() if used[0] != descriptor}
                self._used[connection] = (descriptor, self._wall_clock())
                return True
        descriptor, used_s = self._used.get(connection, (-1, 0.0))
        if descriptor == -1 or _port_of(descriptor) != connection.local_port:
            return False
        return 0 <= self._wall_clock() - used_s <= IDLE_S and not _has_something_to_say(descriptor)

    def used(self, connection: Ends) -> None:
        """Note the end of a call on a connection."""
        if connection in self._used:
            self._used[connection] = (self._used[connection][0], self._wall_clock())


def _port_of(descriptor: int) -> int | None:
    """The local port; None if the descriptor is no connection any more."""
    try:  # given the family, Python need not ask the kernel; the port is in the same place for IPv4
        connection = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, descriptor)
    except OSError:
        return None
    try:
        return int(connection.getsockname()[1])
    except (OSError, IndexError, ValueError):
        return None
    finally:
        connection.detach()


def _has_something_to_say(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
