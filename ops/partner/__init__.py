"""What `spillway partner` does, a module a verb."""
