"""The actions of a person on call on a deployed stack."""
