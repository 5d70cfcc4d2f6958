"""By what the requests that `spillway certify` makes up are known: in receipts of erasures, logs and dead letters."""

CERTIFY_MARK = "ce271f1e-"
"""The first group of their ids, GUIDs as mParticle's are: one of its own begins so once in four thousand million."""
