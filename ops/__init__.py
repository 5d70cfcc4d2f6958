"""The `spillway` command and what builds on it: tools around the functions, never inside them."""
