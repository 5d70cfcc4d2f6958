"""libcurl's transfers on asyncio's loop, which watches one selector for all of their sockets.

pycurl's AsyncCurlMulti would have the loop watch each socket separately for each call: a quarter of a call's CPU
(docs/adr/0059).
"""

import asyncio
import selectors
from contextlib import suppress

import pycurl


class Transfers:
    """Calls side by side, of whose connections at most `most_kept` are kept; for the loop that first uses it.

    libcurl's numbers for reading and writing are those of the selector.
    """

    def __init__(self, *, most_kept: int) -> None:
        self._sockets = selectors.DefaultSelector()
        self._ends: dict[pycurl.Curl, asyncio.Future[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, most_kept)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._wake_up)

    async def perform(self, curl: pycurl.Curl) -> None:
        """Make a call. Raises pycurl.error if it fails; if it is cancelled, the call is broken off at once."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._sockets.fileno(), self._on_sockets)
        self._multi.add_handle(curl)
        end = self._ends[curl] = self._loop.create_future()
        try:
            await end
        finally:
            if self._ends.pop(curl, None) is not None:
                self._multi.remove_handle(curl)

    def close(self) -> None:
        """Close every connection; calls that are under way are cancelled."""
        for curl, end in self._ends.items():
            self._multi.remove_handle(curl)
            end.cancel()
        self._ends.clear()
        if self._loop is not None:
            self._loop.remove_reader(self._sockets.fileno())
        self._multi.close()
        if self._timer is not None:
            self._timer.cancel()
        self._sockets.close()

    def _watch(self, what: int, descriptor: int, _multi: pycurl.CurlMulti, _known: object) -> None:
        if what in {pycurl.POLL_REMOVE, pycurl.POLL_NONE}:
            with suppress(KeyError):
                self._sockets.unregister(descriptor)
            return
        try:
            self._sockets.register(descriptor, what)
        except KeyError:
            self._sockets.modify(descriptor, what)

    def _wake_up(self, after_ms: int) -> None:
        """Call libcurl at its time, or sooner: if it is called too early it gives the time again. A timer for each call
        would nearly always be set in vain.
        """
        if self._loop is None or after_ms < 0:
            return
        due_s = self._loop.time() + after_ms / 1_000
        if self._timer is not None and self._timer.when() <= due_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due_s, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._act((pycurl.SOCKET_TIMEOUT, 0))

    def _on_sockets(self) -> None:
        self._act(*((key.fd, events) for key, events in self._sockets.select(0)))

    def _act(self, *events: tuple[int, int]) -> None:
        """Let libcurl do what is due, and wake the callers whose call has ended."""
        try:
            for descriptor, event in events:
                self._multi.socket_action(descriptor, event)
        except pycurl.error as error:  # libcurl is out of order: nothing else would end these calls
            ended = dict.fromkeys(self._ends, error)
        else:
            _, done, failed = self._multi.info_read()
            ended = {**dict.fromkeys(done), **{curl: pycurl.error(code, text) for curl, code, text in failed}}
        for curl, failure in ended.items():
            end = self._ends[curl]
            if not end.done():
                end.set_exception(failure) if failure else end.set_result(None)
