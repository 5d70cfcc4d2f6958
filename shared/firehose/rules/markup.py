"""The parts of a description that are more than inline markup."""

import re
from html.parser import HTMLParser

_INLINE_TAGS = frozenset({
    "a", "abbr", "b", "bdi", "bdo", "br", "cite", "code", "dfn", "em", "i", "kbd", "mark", "q", "s", "samp", "small",
    "span", "strong", "sub", "sup", "time", "u", "var", "wbr",
})  # fmt: skip
_WITHOUT_END_TAG = frozenset({"br", "wbr"})


class _Markup(HTMLParser):
    """Collects whatever is more than inline markup."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _INLINE_TAGS:
            self.problems.append(f"<{tag}> is no inline markup.")
        elif tag not in _WITHOUT_END_TAG:
            self.open.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name == "style":
                self.problems.append(f"<{tag}> has the attribute {name}, which is more than markup.")
            if name == "href" and _scheme(value or "") not in {"", "http", "https", "mailto"}:
                self.problems.append(f"<{tag}> links to something that is no http, https or mailto address.")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        elif tag in _INLINE_TAGS - _WITHOUT_END_TAG:
            self.problems.append(f"</{tag}> ends what is not open there.")

    def handle_comment(self, data: str) -> None:  # noqa: ARG002 - that there is one is enough
        self.problems.append("A comment is no markup.")


def _scheme(address: str) -> str:
    """The scheme in lower case; browsers ignore blanks and control characters in it."""
    return re.sub(r"[\x00-\x20]", "", address).partition(":")[0].lower() if ":" in address else ""


def bad_markup(text: str) -> list[str]:
    """Return in words what a text holds beside inline markup, and which tags are not ended."""
    markup = _Markup()
    markup.feed(text)
    markup.close()
    return [*markup.problems, *(f"<{tag}> is not ended." for tag in markup.open)]
