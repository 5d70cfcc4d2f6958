"""What tests, the simulation, `partner replay` and users' own tests share."""
