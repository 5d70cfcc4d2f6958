"""The worker's fleet on simulated time: fakes that behave as AWS and a partner do, and scenarios that judge it."""
