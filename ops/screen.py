"""A rich console for verbs that print more than lines: without markup in texts, and nothing raw in them."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ops.terminal import safe


class Screen(Console):
    """Prints as Console does; `[red]` and `:smile:` are texts, and of others' control characters the spelling is shown.

    Only a line break is let through, as layout has them: what may come from outside is made `safe` where it is put in.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                lines = "\n".join(map(safe, segment.text.split("\n")))
                yield Segment(lines, segment.style)
