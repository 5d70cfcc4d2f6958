"""Whose fault a failure is: an account's, its credential's, or the partner's."""
