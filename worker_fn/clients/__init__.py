"""The outside: the partner's sockets, the event source mapping, the log."""
