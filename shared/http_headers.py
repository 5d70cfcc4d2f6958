"""Headers that say how a call travels, and to whom: the HTTP client writes them. Names in small letters."""

OF_THE_CLIENT = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""If one of these stood twice, servers would read the call differently."""
