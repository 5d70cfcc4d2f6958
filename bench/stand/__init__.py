"""The surroundings of a benchmark: functions as Lambda starts them, and stubs that answer them; each is a process."""
