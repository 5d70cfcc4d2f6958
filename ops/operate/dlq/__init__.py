"""`spillway dlq`: dead letters looked at without consuming them, planned for, sent again, exported, imported, deleted.

A letter is named by its id and never by its place: SQS hands letters out in no order, and somebody else may look at the
same time.
"""
