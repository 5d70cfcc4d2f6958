import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import botocore
import pytest

from shared.aws_roots import all_roots, amazons_roots

BUNDLE = Path(botocore.__file__).with_name("cacert.pem")
"""A whole bundle, as AWS's own client carries it."""


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Make this machine trust what is in a file."""

    def trust(file: Path) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        amazons_roots.cache_clear()
        all_roots.cache_clear()

    yield trust
    amazons_roots.cache_clear()
    all_roots.cache_clear()


def names(context: ssl.SSLContext) -> set[str]:
    return {str(dict(part[0] for part in one["subject"]).get("commonName")) for one in context.get_ca_certs()}


def test_amazons_roots_are_read_and_no_other(trusting: Callable[[Path], None]) -> None:
    """Out of a whole bundle the roots of Amazon Trust Services, and the check of name and certificate is on."""
    trusting(BUNDLE)
    assert names(amazons_roots()) == {f"Amazon Root CA {number}" for number in (1, 2, 3, 4)}
    assert (amazons_roots().check_hostname, amazons_roots().verify_mode) == (True, ssl.CERT_REQUIRED)
    assert all_roots.cache_info().misses == 0


def test_a_root_that_the_machine_does_not_trust_is_none(trusting: Callable[[Path], None], tmp_path: Path) -> None:
    """An operator who takes one of Amazon's roots out of the bundle has taken it out here."""
    before, _, rest = BUNDLE.read_text().partition('# Label: "Amazon Root CA 1"')
    (tmp_path / "bundle.pem").write_text(before + rest.partition("-----END CERTIFICATE-----")[2])
    trusting(tmp_path / "bundle.pem")
    assert names(amazons_roots()) == {f"Amazon Root CA {number}" for number in (2, 3, 4)}


_, _, OWN = BUNDLE.read_text().partition('Amazon Root CA 1"')
ROOT = OWN[OWN.index("-----BEGIN") : OWN.index("-----END")] + "-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    "content",
    [
        "".join(f"# {line}\n" for line in ROOT.splitlines()),
        f"  {ROOT}",
        f"\0{ROOT}",
        ROOT.replace("\n-----END CERTIFICATE-----", "-----END CERTIFICATE-----"),
        ROOT.partition("-----END")[0],
        f"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n{ROOT}",
    ],
    ids=["commented-out", "indented", "behind-a-byte", "no-line", "no-end", "behind-what-is-broken"],
)
def test_a_root_that_openssl_does_not_read_is_not_trusted(
    trusting: Callable[[Path], None], tmp_path: Path, content: str
) -> None:
    """The file is read as OpenSSL reads it, or left to it."""
    file = tmp_path / "bundle.pem"
    file.write_text(content)
    trusting(file)
    assert names(amazons_roots()) == names(ssl.create_default_context()) == set()
    file.write_text(ROOT.replace("\n", "\r\n"), newline="")
    trusting(file)
    assert names(amazons_roots()) == {"Amazon Root CA 1"}


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"no certificate",
        b"-----BEGIN CERTIFICATE-----\nQW1hem9u\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nA",
    ],
    ids=["missing", "empty", "no-block", "no-certificate-in-it", "cut"],
)
def test_a_file_without_amazons_roots_is_left_to_the_system(
    trusting: Callable[[Path], None], tmp_path: Path, content: bytes | None
) -> None:
    """A file that is not there, or holds something else: all that the machine trusts is taken, as ever."""
    if content is not None:
        (tmp_path / "bundle.pem").write_bytes(content)
    trusting(tmp_path / "bundle.pem")
    assert amazons_roots() is all_roots()
