"""Which call goes when, over which connection, and what its answer means."""
