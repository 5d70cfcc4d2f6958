"""Printing: colours, widths, moments, findings; and Ctrl-C."""
