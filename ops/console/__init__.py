"""What is printed, and how: colours, widths, moments, findings."""
