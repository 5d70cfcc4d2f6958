"""One batch, from records to their ends."""
