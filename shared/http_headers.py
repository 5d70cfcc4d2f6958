"""Headers that say how a call travels, and to whom: whoever makes the call writes them. Names in small letters."""

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
"""A second one would make a call that servers read differently."""
