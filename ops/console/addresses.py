"""Texts that are kept or shown although a person wrote them, or may be named in them."""


def without_addresses(text: str) -> str:
    """The same text with `***` for each word that may be an e-mail address."""
    return " ".join("***" if "@" in word else word for word in text.split(" "))
