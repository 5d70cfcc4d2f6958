"""Printing: colours, widths, moments, findings."""
