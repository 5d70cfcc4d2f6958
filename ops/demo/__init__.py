"""The demo: a scenario on an embedded AWS, measured, as a report."""
