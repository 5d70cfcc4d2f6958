"""`make bench`: what Spillway costs, beside the usual ways and the limit of each figure. docs/performance.md reads it.

stand: functions under Lambda's runtime client, stubs of AWS and of a partner; peers: the usual ways, as functions;
rows: what is measured, a module for each group; measure: alternating runs, figures, goals; report: what is written.
"""
