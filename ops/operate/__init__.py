"""What a person on call does to a deployed stack."""
