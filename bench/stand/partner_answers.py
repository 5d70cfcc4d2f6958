"""What the stub of a partner answers: 200 after its latency, with what Iterable says of a call or of a bulk."""

DONE = b'{"code":"Success","msg":"","params":{}}'
FAILS = "fails-every-"


class PartnerAnswers:
    """A path that begins with a number of milliseconds is answered after these, any other after the usual latency; one
    that begins with `fails-every-10` has every tenth call answered with 503.
    """

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._failing = 0

    def answer(self, path: str, _headers: dict[bytes, bytes], _body: bytes) -> tuple[str, int, bytes, float]:
        first = path.split("/", 2)[1]
        if first.startswith(FAILS):
            self._failing += 1
            if self._failing % int(first.removeprefix(FAILS)) == 0:
                return "calls", 503, b"{}", self._latency_s
        return "calls", 200, DONE, int(first) / 1_000 if first.isdecimal() else self._latency_s
