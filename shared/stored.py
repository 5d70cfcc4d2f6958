"""Texts that are kept in SSM or Secrets Manager because nobody may read them in a function's environment.

    reference_of("ssm:/acme/headers")    Reference("ssm", "/acme/headers"); None for a text that is no reference

A variable holds the reference; the function reads the text when it starts and again after some minutes, so that a
change of the text needs no deploy.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from shared.errors import InvalidSettings

VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*_SECRET_HEADERS")
"""Variables of a partner whose value is a reference."""

FRESH_S = 300.0
"""How long a text is used before it is read again; after this time every environment knows a change."""
ASK_STORE_AGAIN_S = 30.0
"""After a failure the known text stays in use, and the store is not asked again for this long."""

_SSM = re.compile(r"ssm:(/[A-Za-z0-9_./-]+)")
_SECRET = re.compile(r"secretsmanager:(arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+)")
FORM = "ssm:/name/of/a/parameter or secretsmanager:arn:..."


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a text is kept: a parameter of `ssm`, or the ARN of a secret of `secretsmanager`."""

    service: str
    name: str


def reference_of(text: str) -> Reference | None:
    """Read a reference; None for anything else."""
    if parameter := _SSM.fullmatch(text):
        return Reference("ssm", parameter[1])
    if secret := _SECRET.fullmatch(text):
        return Reference("secretsmanager", secret[1])
    return None


def is_reference(text: str) -> bool:
    return reference_of(text) is not None


def references(env: Mapping[str, str]) -> dict[str, Reference]:
    """The references in an environment, by variable. Raises InvalidSettings for a text that should be a reference and
    is not: most likely it is the secret itself, in a place where many can read it.
    """
    found = {}
    for variable in sorted(filter(VARIABLE.fullmatch, env)):
        if not env[variable]:
            continue
        reference = reference_of(env[variable])
        if reference is None:
            raise InvalidSettings(f"{variable} must say where the headers are kept, {FORM}, and never what they are")
        found[variable] = reference
    return found


def without_stored(env: Mapping[str, str]) -> dict[str, str]:
    """The environment for a partner that is tried and sends nothing: its calls lack the secrets behind references.
    Raises InvalidSettings as `references` does.
    """
    return {**env, **dict.fromkeys(references(env), "{}")}


def request_for(reference: Reference) -> tuple[str, bytes]:
    """The operation and the JSON body of the call that reads a reference."""
    if reference.service == "ssm":
        return "AmazonSSM.GetParameter", orjson.dumps({"Name": reference.name, "WithDecryption": True})
    return "secretsmanager.GetSecretValue", orjson.dumps({"SecretId": reference.name})


def text_in(reference: Reference, answer: bytes) -> str | None:
    """The text in the answer to such a call; None where there is none."""
    try:
        found: Any = orjson.loads(answer)
        value = found["Parameter"]["Value"] if reference.service == "ssm" else found["SecretString"]
    except (ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, str) else None


class Unreadable(Exception):
    """The store's short name of the error that it sent instead of a text."""


@dataclass
class Stored:
    """The texts that an environment refers to, as they were read last. `read` raises Unreadable."""

    references: Mapping[str, Reference]
    read: Callable[[Reference], str]
    on_trouble: Callable[[str], None] = lambda _: None
    clock: Callable[[], float] = time.monotonic
    _texts: tuple[tuple[str, str], ...] | None = field(default=None, repr=False)
    _look_again_s: float = float("-inf")

    def texts(self) -> tuple[tuple[str, str], ...]:
        """Each variable with its text: equal as long as no text changed. Raises InvalidSettings until the texts were
        read once; after that a store that does not answer changes nothing.
        """
        if self._texts is None or self.clock() >= self._look_again_s:
            try:
                self._texts = tuple((name, self._read(name)) for name in self.references)
            except InvalidSettings as error:
                if self._texts is None:
                    raise
                self.on_trouble(str(error))
                self._look_again_s = self.clock() + ASK_STORE_AGAIN_S
            else:
                self._look_again_s = self.clock() + FRESH_S
        return self._texts

    def _read(self, variable: str) -> str:
        reference = self.references[variable]
        try:
            return self.read(reference)
        except Unreadable as error:
            raise InvalidSettings(
                f"{variable}: {reference.service} does not give what is kept at {reference.name}: {error}"
            ) from None
