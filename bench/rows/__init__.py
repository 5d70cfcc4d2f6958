"""What is measured: a module for each group of rows, each a function from the stand to its rows."""
