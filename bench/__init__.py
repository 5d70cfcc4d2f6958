"""`make bench`: what Spillway costs, compared with the usual ways and with each figure's limit. docs/performance.md
explains the results.

stand: functions under Lambda's runtime client, stubs of AWS and of a partner; peers: the usual ways, as functions;
rows: what is measured, a module for each group; measure: alternating runs, figures, goals; report: the written results.
"""
