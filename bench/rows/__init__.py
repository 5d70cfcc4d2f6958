"""What is measured: a module for each group of rows. Its function `rows` takes the stand and yields the rows."""
