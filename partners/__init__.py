"""Partners: one file, one partner. The setting `PARTNER` names the file (`partners.webhook`)."""

import importlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from traceback import walk_tb

from partners.base import Bulk, Delivery, LeftOut, Limits, Partner, Rate, RateHeaders, Result, Secret
from shared.errors import InvalidSettings, SpillwayError, raised_at

__all__ = [
    "Bulk",
    "Delivery",
    "LeftOut",
    "Limits",
    "Partner",
    "PartnerBroken",
    "Rate",
    "RateHeaders",
    "Result",
    "Secret",
    "load_partner",
]

DEFAULT_PARTNER = "partners.webhook"


class PartnerBroken(InvalidSettings):
    """The partner's file exists but its code raises: `said` gives the exception and its line."""

    def __init__(self, module: str, said: str) -> None:
        super().__init__(f"PARTNER={module} cannot be used: {said}")
        self.said = said


def load_partner(env: Mapping[str, str]) -> Partner:
    """Build the partner that `PARTNER` names from its file and the rest of the environment.

    Raises InvalidSettings, and nothing else, if there is no such module, if it does not hold exactly one Partner, or if
    the partner's own settings are bad; PartnerBroken, which is one, if its code raises.
    """
    from shared.firehose.enforcement import rules_unenforced  # noqa: PLC0415 - it brings pydantic, which a partner's file does too

    name = env.get("PARTNER") or DEFAULT_PARTNER
    try:
        with rules_unenforced():  # a registration that is declared as the file is read; the deploy checks it
            module = importlib.import_module(name)
    except (Exception, SystemExit) as error:  # whatever the file does as it is read
        if _is_missing(error, name):
            raise InvalidSettings(f"PARTNER={name}: no such module; {_hint(name)}") from None
        raise PartnerBroken(name, _said(error, name, with_text=True)) from error
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Partner) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        hint = f" ({_hint(name)})" if not found else ""
        raise InvalidSettings(f"PARTNER={name}: holds {len(found)} Partner classes; it must hold exactly one{hint}")
    try:
        return found[0].from_env(env)
    except InvalidSettings:
        raise
    except (
        Exception,
        SystemExit,
    ) as error:  # what it raised may quote a variable's value, but for what is said of the code
        with_text = isinstance(error, TypeError | NameError | ImportError | SpillwayError)
        raise PartnerBroken(name, _said(error, name, with_text=with_text)) from error


def _is_missing(error: BaseException, name: str) -> bool:
    """Whether the module itself is missing, and not one that it imports; its name may be no module name at all."""
    if isinstance(error, ModuleNotFoundError):
        return error.name is not None and f"{name}.".startswith(f"{error.name}.")
    return not all(part.isidentifier() for part in name.split("."))


def _hint(name: str) -> str:
    """A hint at the partner's name that the operator may have meant."""
    plain = name.strip().strip("./").removesuffix(".py").replace("/", ".").replace("-", "_").lower()
    meant = f"partners.{plain.rpartition('.')[2]}"
    if meant != name and _file_of(meant) is not None:
        return f"did you mean {meant}?"
    return "put the partner's file there; partners.acme is partners/acme.py"


def _file_of(module: str) -> Path | None:
    try:
        spec = find_spec(module)
    except (Exception, SystemExit):  # a name that is none, or what a package does as it is read
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


def _said(error: BaseException, module: str, *, with_text: bool) -> str:
    """The exception and its line in the partner's code, in one line of text."""
    file = _file_of(module)
    if isinstance(error, SyntaxError):
        name = (error.filename or str(file or module)).rpartition("/")[2]
        place, text = name if error.lineno is None else f"{name}:{error.lineno}", error.msg
    else:
        frames = [(code.co_filename, line) for frame, line in walk_tb(error.__traceback__) if (code := frame.f_code)]
        own = [line for name, line in frames if file is not None and name == str(file)]
        place = f"{file.name}:{own[-1]}" if file is not None and own else raised_at(error)
        text = str(error)
    said = f"{type(error).__name__} in {place}"
    return f"{said}: {' '.join(text.split())}" if with_text and text.strip() else said
