"""The mark of requests that `spillway certify` makes up, in receipts of erasures, logs and dead letters."""

CERTIFY_MARK = "ce271f1e-"
"""The first group of their ids, GUIDs like mParticle's: one of its own begins like this once in four thousand million.
"""
