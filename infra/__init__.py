"""What builds and deploys Spillway; no code of a function imports it."""
