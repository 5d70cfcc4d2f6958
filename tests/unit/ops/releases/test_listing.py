import io

from rich.console import Console

from ops.releases import listing
from ops.releases.destination import Destination
from ops.releases.functions import Alias, Function, Functions, Version

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_the_listing_fits_into_80_columns() -> None:
    """Nothing of a row is cut or wrapped on a terminal of the usual width, with long commits and versions of years."""

    def function(name: str) -> Function:
        alias = Alias(f"spillway-production-{name}", "production", 1207, "", "revision")
        published = "2026-11-24T16:20:31.000+0000"
        where = Destination("partners.webhook", ("hooks.example",))
        versions = {n: Version(n, f"{COMMIT}-dirty", published, (1, 2), where) for n in (1206, 1207)}
        return Function(alias, versions)

    screen = io.StringIO()
    listing.show(Functions(function("ingest"), function("worker")), Console(file=screen, width=80))
    lines = screen.getvalue().splitlines()
    assert len(lines) == 2 + 1 + 4
    assert all(len(line.rstrip()) <= 80 for line in lines)
    assert [line.split()[2] for line in lines[3:]] == ["0123456789-dirty"] * 4
    assert "…" not in screen.getvalue()
