"""What a benchmark stands on: functions as Lambda starts them, and stubs that answer them; each is a process."""
