"""The answers of the stub of a partner: 200 after its latency, with the body that Iterable sends after a success."""

DONE = b'{"code":"Success","msg":"","params":{}}'
FAILS = "fails-every-"


class PartnerAnswers:
    """If a path begins with a number, the answer comes after that many milliseconds, otherwise after the usual latency.
    If it begins with `fails-every-10`, every tenth call is answered with 503.
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
