"""The mark of requests that `spillway certify` makes up, in receipts of erasures, logs and dead letters."""

CERTIFY_MARK = "ce271f1e-"
"""The first group of their ids, GUIDs as mParticle's are: one of its own begins so once in four thousand million."""
