"""TLS as a function meets it: the system's bundle of roots with two more, and a stub that shows one of these two.

The first has Amazon's name, like the roots that sign AWS's endpoints; the second does not.
"""

import os
import shutil
import ssl
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench.measure import CannotMeasure

SYSTEM_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


@dataclass(frozen=True, slots=True)
class Certificates:
    """The certificate that a stub shows, and the roots that its callers trust: the system's and two of the bench. They
    are in one file (`bundle`), and in a file each, named by hash (`folder`). `other` is the root without Amazon's name,
    and its key.
    """

    cert: Path
    key: Path
    other: tuple[Path, Path]
    bundle: Path
    folder: Path
    roots: int

    def by_another(self) -> "Certificates":
        """The same trusted roots, but for a stub whose root does not have Amazon's name."""
        cert, key = self.other
        return replace(self, cert=cert, key=key)

    def trusted(self) -> Mapping[str, str]:
        """Variables that make Python's ssl, Spillway's libcurl, botocore and requests trust the same bundle."""
        files = dict.fromkeys(("SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"), str(self.bundle))
        return {**files, "SSL_CERT_DIR": str(self.folder)}


def make_certificates(folder: Path) -> Certificates:
    """Write the certificates into an empty folder. Raises CannotMeasure if the machine has no bundle or no openssl."""
    system = next((path for path in (ssl.get_default_verify_paths().cafile, *SYSTEM_BUNDLES) if _is_file(path)), None)
    if system is None or shutil.which("openssl") is None:
        raise CannotMeasure("the bench needs openssl, and a bundle of the system's roots")
    bundle, hashed = folder / "bundle.pem", folder / "hashed"
    (cert, key), other = (_root(folder, organisation) for organisation in ("Amazon", "Another"))
    roots = [*_roots(Path(system).read_text(encoding="utf-8")), cert.read_text(), other[0].read_text()]
    bundle.write_text("".join(roots), encoding="utf-8")
    hashed.mkdir()
    for number, root in enumerate(roots):
        (hashed / f"{number}.pem").write_text(root, encoding="utf-8")
    _openssl("rehash", str(hashed))
    return Certificates(cert, key, other, bundle, hashed, len(roots))


def _root(folder: Path, organisation: str) -> tuple[Path, Path]:
    """A self-signed certificate, which is both the server's and the root, and its key."""
    cert, key = (folder / f"{organisation}.{kind}.pem" for kind in ("cert", "key"))
    _openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-keyout", str(key), "-out", str(cert), "-subj", f"/O={organisation}/CN=127.0.0.1",
        "-addext", "subjectAltName=IP:127.0.0.1",
    )  # fmt: skip
    return cert, key


def _roots(bundle: str) -> list[str]:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----\n"
    return [begin + one.partition(end)[0] + end for one in bundle.split(begin)[1:]]


def _is_file(path: str | None) -> bool:
    return path is not None and os.path.isfile(path)  # noqa: PTH113 - None is no path


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotMeasure(f"openssl {arguments[0]} failed: {done.stderr.strip()[-200:]}")
