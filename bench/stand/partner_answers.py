"""What the stub of a partner answers: 200 after its latency, with what Iterable says of a call or of a bulk."""

DONE = b'{"code":"Success","msg":"","params":{}}'


class PartnerAnswers:
    """A path that begins with a number of milliseconds is answered after these, any other after the usual latency."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s

    def answer(self, path: str, _headers: dict[bytes, bytes], _body: bytes) -> tuple[str, int, bytes, float]:
        first = path.split("/", 2)[1]
        return "calls", 200, DONE, int(first) / 1_000 if first.isdecimal() else self._latency_s
