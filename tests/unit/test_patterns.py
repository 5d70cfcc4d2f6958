"""Every regular expression takes time in proportion to the text, whoever wrote that: none may hold up a worker.

Each is listed here with what would be worst for it; one that is not listed fails. A hostile text is the beginning, a
piece that is repeated, and an end that makes it fail as late as it can.
"""

import ast
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("partners", "shared", "worker_fn", "ingest_fn", "testkit", "ops")

SHORT, TIMES = 4_000, 4
"""Characters of a hostile text, and how many times as many the longer one has."""
MOST_GROWTH = 8.0
"""Between 4, which is in proportion, and 16, which is its square."""
LEAST_S = 50e-6
"""What is quicker is not told apart from the clock's own steps."""

Hostile = tuple[str, str, str]

DIGITS: list[Hostile] = [
    ("", "1", "x"),
    ("+", "0", "\n"),
    ("", "٣", ""),
    ("", "1.", ""),
    ("1.", "1", "x"),
    ("1e", "1", "x"),
]
NAMES: list[Hostile] = [("", "a", " "), ("", "a-", ""), ("", "-", ""), ("", "a.", ""), ("", "_", "\n"), ("", "ß", "")]
PATHS: list[Hostile] = [("", "/", ""), ("/", "a", " "), ("", "/a", "/"), ("", "/functions/a/aliases/", "")]
ARNS: list[Hostile] = [
    ("arn:aws", "-", ""),
    ("arn:aws:lambda:", "a-", ":"),
    ("arn:aws:lambda:eu:123456789012:function:", "a", ":"),
    ("arn:aws:lambda:eu:123456789012:function:a", ":a", ""),
    ("/2015-03-31/functions/arn:aws:lambda:eu-west-1:123456789012:function:", "a", ":/"),
    ("/2015-03-31/functions/arn:aws:lambda:eu-west-1:123456789012:function:a:", "b", "/invocation"),
]

HOSTILE: dict[str, dict[str, list[Hostile]]] = {
    "ops/console/moments.py": {"([0-9]{1,6})(s|min|h|d)": [*DIGITS, ("1", "min", ""), ("123456", "s", "")]},
    "shared/environment.py": {
        r"https?://[A-Za-z0-9._:\[\]-]+/?": [
            ("https://", "a", " "),
            ("https://", "a.", "//"),
            ("https://", "[:", ""),
            ("https://a", "/", ""),
            ("", "https://", ""),
        ],
    },
    "shared/ledger.py": {
        r" ([0-9]{1,4}/[0-9]{1,4})\Z": [*DIGITS, ("", " 1/1", "x"), (" ", "1/", "")],
        "([0-9]{1,9})(?:-([0-9]{1,9}))?": [*DIGITS, ("1", "-1", ""), ("1-", "1", "x")],
    },
    "ops/operate/by_hand.py": {r"[0-9]{1,9}(\.[0-9]{1,9})?": [*DIGITS, ("1", ".1", ""), ("1.", "1", "x")]},
    "ops/operate/dlq/filters.py": {"[0-9]{3}": DIGITS},
    "ops/operate/facts.py": {r"[ !#-\[\]-~]+": [*NAMES, ("", 'a"', ""), ("", "\\", "a"), ("", " ", "\n")]},
    "ops/operate/trace.py": {"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}": [*DIGITS, ("12345678", "-1234", "-1")]},
    "worker_fn/batch/prepare.py": {"-?[0-9A-Za-z][0-9A-Za-z._:-]{0,127}": [*NAMES, *DIGITS, ("-", "-", "")]},
    "ops/operate/dlq/letters.py": {
        "[0-9]{1,19}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}": [*DIGITS, ("12345678", "-1234", "-1")],
        "[0-9]{1,6}( [a-z_]{1,20}(:[0-9]{3})?)*": [
            *(*DIGITS, ("1", " a", "!"), ("1", " a:422", ":"), ("1 ", "a", ""), ("1", " ", "")),
        ],
    },
    "partners/address.py": {
        r'[\x00-\x20\x7f-\xa0\\<>"{}|^`\u2028\u2029]': [("", "a", " "), ("", "<", ""), ("", "a\x7f", "")],
        "%(?![0-9A-Fa-f]{2})": [("", "%", ""), ("", "%a", ""), ("", "%aa", "%"), ("", "%ag", "")],
        r"(\[[^\]]*\]|[^:\[\]]*)(:[^:]*)?": [
            *(("[", ":", ""), ("[", "[", "]x"), ("", "a", "["), ("", "a:", ""), ("a:", "1", ":"), ("[]:", "]", ":")),
        ],
        "[0-9]{1,5}": DIGITS,
        "[.\u3002\uff0e\uff61]": [("", ".", ""), ("", "a", ""), ("", "a\u3002", "."), ("", "\uff61", "a")],
        "[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?": [*NAMES, ("a", "-", ""), ("a", "a-", "!"), ("a", "--a", "-")],
        "[0-9]+|0x[0-9a-f]*": [*DIGITS, ("0x", "f", "g"), ("", "0x", ""), ("", "0", "x")],
    },
    "partners/headers.py": {"[A-Za-z0-9!#$%&'*+.^_`|~-]+": NAMES},
    "partners/settings.py": {
        r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(?:/([0-9]{1,9}(?:\.[0-9]{1,9})?))?": [
            *(*DIGITS, ("", "1/", ""), ("1/", "1", "/"), ("1/1.", "1", ""), ("", "1.1/1.1", "")),
        ],
    },
    "partners/signing.py": {
        "[A-Za-z0-9+/]+(={0,2})": [*NAMES, ("", "a", "==="), ("", "=", ""), ("a", "=", "a"), ("", "a==", "")],
        "[A-Za-z0-9_-]+(={0,2})": [*NAMES, ("", "a", "==="), ("", "=", ""), ("-", "=", "_"), ("", "_==", "")],
        "wh[a-z]+_": [("wh", "a", ""), ("wh", "a", "-"), ("", "wh", "_!"), ("", "WHa_", ""), ("wh", "ſ", "")],
    },
    "shared/json_text.py": {
        r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?': [
            *(('"', "a", ""), ('"', '\\"', ""), ('"', 'a\\"', "\\"), ('"', "\\", ""), ("", '"', ""), ("", '"\\', "")),
            *(("", '"a', ""), ("", "\\", '"'), ('"', "\\\n", ""), ("", '"",', "")),
        ],
    },
    "shared/message.py": {
        "([1-9][0-9]{0,3})/([1-9][0-9]{0,3})": [*DIGITS, ("", "1/", ""), ("1/", "1", "/"), ("1", "/", "1")],
    },
    "shared/partner_http.py": {
        "[!#$%&'*+.^_`|~0-9A-Za-z-]+": NAMES,
        r"[\x00-\x1f\x7f]": [("", "a", ""), ("", "\t", ""), ("", "a\x7f", "")],
        r"[\x00-\x08\x0a-\x1f\x7f]": [("", "a", ""), ("", "\t", "\n"), ("", "a\x00", "")],
        "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?": [*NAMES, ("a", "-", ""), ("", "a-", "!"), ("a", "_", "-")],
        r"\[[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\](:[0-9]*)?": [
            *(
                ("[", "f", ""),
                ("[", ":", ""),
                ("[", "a:", "x]"),
                ("[::]:", "1", "x"),
                ("", "[:]:", ""),
                ("[", ":f.", "]:x"),
            ),
        ],
        "[A-Za-z]+(?:/[0-9.]+)? +([0-9]{3})(?![0-9])": [
            *(
                ("", "H", ""),
                ("HTTP/", "1.", ""),
                ("HTTP/1.1", " ", "20"),
                ("HTTP/1.1 ", "2", ""),
                ("", "HTTP/1.1 ", ""),
            ),
            *(("", "a", "/"), ("", "a/1 ", "200"), ("HTTP", " ", "2000")),
        ],
    },
    "shared/queue/attributes.py": {
        "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]": [
            *(("", "a", ""), ("", "\x00", ""), ("", "a\ud800", ""), ("", "\uffff", "a")),
        ],
        r"(?!(?i:aws|amazon)\.)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*": [
            *(*NAMES, ("a", ".a", "."), ("a", ".aa", "!"), ("", "amazon", "."), ("", "aws.", ""), ("a.", "a", "..")),
        ],
    },
    "shared/stored.py": {
        "[A-Z][A-Z0-9_]*_SECRET_HEADERS": [
            *(("", "A", ""), ("", "_SECRET_HEADERS", ""), ("A", "_SECRET_HEADERS", "x"), ("A", "_SECRET_HEADER", "")),
            *(("A", "_", ""), ("", "A_SECRET_HEADERS", "s")),
        ],
        "ssm:(/[A-Za-z0-9_./-]+)": [("ssm:", "/", ""), ("ssm:/", "a", " "), ("", "ssm:/", ""), ("ssm:", "/a.", ":")],
        "secretsmanager:(arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+)": [
            *(*ARNS, ("secretsmanager:arn:", "a-", ""), ("", "secretsmanager:", ""), ("", "secretsmanager:arn:a", ":")),
            *(
                ("secretsmanager:arn:aws:secretsmanager:", "a-", ":1"),
                ("", "secretsmanager:arn:aws:secretsmanager:a", ""),
            ),
            ("secretsmanager:arn:aws:secretsmanager:eu-west-1:123456789012:secret:", "a", ":"),
            ("secretsmanager:arn:aws:secretsmanager:eu-west-1:", "1", ":secret:a"),
        ],
    },
    "partners/iterable_values.py": {
        "[+-]?[0-9]+": DIGITS,
        "[^0-9+]": [("", "1", "x"), ("", "x", ""), ("", "x1", "")],
    },
    "partners/reading.py": {
        "[+-]?[0-9]{1,40}": DIGITS,
        r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?": [*DIGITS, ("1", "e1", "")],
        r"[+-]?0[xX]([0-9a-fA-F]+(\.[0-9a-fA-F]*)?|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+": [
            *(("0x", "f", "x"), ("0x1.", "f", "x"), ("0x1p", "1", "x"), ("0x", "f.", ""), ("0x.", "1", "")),
        ],
        "[0-9a-f]{64}": [("", "a", ""), ("", "0", "x")],
    },
    "shared/firehose/values.py": {
        "[+-]?[0-9]{1,40}": DIGITS,
        r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,9})?": [*DIGITS, ("1", "e1", "")],
        r"(?P<day>\d{4}-\d\d-\d\d)[Tt ](?P<time>\d\d:\d\d(:\d\d)?)(\.(?P<fraction>\d+))?"
        r"(?P<zone>[Zz]|[+-]\d\d(:?\d\d)?)": [
            *(("2026-01-01T00:00:00.", "1", "x"), ("2026-01-01T00:00", ":00", ""), ("", "2026-01-01T", "")),
        ],
    },
    "shared/firehose/rules/__init__.py": {
        r"[0-9]+(\.[0-9]+)*([-+][0-9A-Za-z.+-]+)?": [*DIGITS, ("1-", "a-", " "), ("1", ".1", "."), ("1", "+1", " ")],
        r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?": [
            *(*NAMES, ("", "a.", "-"), ("", "a" * 63 + ".", "!"), ("", "a-" * 31 + "a.", "1")),
        ],
    },
    "shared/firehose/rules/settings.py": {
        "secret|passw|passphrase|token|credential|(api|access|private|signing|auth)[ _-]?key": [
            *(*NAMES, ("", "api_", ""), ("", "pass", ""), ("", "auth ", "")),
        ],
    },
    "shared/firehose/rules/markup.py": {r"[\x00-\x20]": [("", " ", "x"), ("", "a ", "")]},
    "shared/firehose/rules/oauth2.py": {
        "[A-Za-z0-9!#$%&'*+.^_`|~-]+": NAMES,
        r"\s": [("", "a", ""), ("", " ", "")],
    },
    "worker_fn/dispatch/classify.py": {r"\+?[0-9]+(\.[0-9]*)?": [*DIGITS, ("+", "1", "."), ("", "+", "1")]},
    "worker_fn/settings.py": {
        "[0-9A-Za-z._-]{1,64}": NAMES,
        r"[0-9]{1,12}(\.[0-9]{1,12})?": DIGITS,
        "https?://[!-~]+": [
            ("https://", "a", " "),
            ("http://", "/", "\n"),
            ("", "http://", "ß"),
            ("http", "s", "://a"),
        ],
    },
    "worker_fn/dispatch/rate_headers.py": {r"[+-]?[0-9]{1,16}(\.[0-9]{1,16})?": DIGITS},
    "ingest_fn/subscription_settings.py": {"[A-Za-z0-9_.-]{1,64}": NAMES, "-?[0-9]{1,19}": DIGITS},
    "ingest_fn/tokens.py": {"[!-~]{16,512}": [*NAMES, ("", "!", "\n"), ("", "~", "ß")]},
    "ops/logo/drawing.py": {
        r"url\(\s*['\"]?\s*([^'\")\s]*)": [
            ("url(", " ", "x"),
            ("", "url(", ""),
            ("url('", " ", "'"),
            ("url(", "a", ""),
        ],
        r"[\s,]+": [("", " ", "x"), ("", ", ", ""), ("", "1 ", "")],
        "([0-9.]+)(px)?": [*DIGITS, ("", ".", "p"), ("", "1px", "")],
    },
    "ops/releases/note.py": {
        "(?P<ingest>[0-9]+)/(?P<worker>[0-9]+) (?P<at>[0-9]{8}T[0-9]{6}Z|-)": [
            *DIGITS,
            ("1/", "1", " "),
            ("", "1/", ""),
        ],
    },
    "ops/releases/pair.py": {"[1-9][0-9]*": DIGITS},
    "ops/console/terminal.py": {
        r"\S+?(?:(?<=,)(?=[\"{\[])|(?!\S))": [
            ("", "a", ""),
            ("", ",", ""),
            ("", ",{", ""),
            ("", "a ", ""),
            ("", "a,", " "),
        ],
    },
    "ops/partner/declaration.py": {"[a-z0-9][a-z0-9._-]{0,63}": NAMES},
    "testkit/rules.py": {
        r"[\x20-\x7e\xa0-\xff\t]*": [("", "a", "\n"), ("", "ÿ", "Ā"), ("", "\t", "\r")],
    },
    "ops/partner/new.py": {"[a-z][a-z0-9_]{0,39}": NAMES},
    "ops/certify/targets.py": {
        "arn:aws[a-z-]*:lambda:(?P<region>[a-z0-9-]+):[0-9]{12}:function:[A-Za-z0-9_-]+"
        "(?P<qualifier>:[A-Za-z0-9$_-]+)?": ARNS,
    },
    "ops/certify/answers.py": {r"[0-9]+\.[0-9]+(\.[0-9]+)?": DIGITS},
    "ops/local/ministack_shims.py": {
        "^/2015-03-31/functions/(?P<function>arn:aws:lambda:(?P<region>[a-z0-9-]+):(?P<owner>[0-9]{12}):function:"
        r"(?P<name>[^:/]+))(?::(?P<qualifier>[^/]+))?/invocations\Z": ARNS,
        r'"SourceArn": ?"(arn:[^"]+)"': [
            *(
                ('"SourceArn": "arn:', "a", ""),
                ("", '"SourceArn": "arn:', ""),
                ("", '"SourceArn":"arn:a', ""),
                ("", '"', ""),
            ),
            *(('"SourceArn":', " ", '"'), ("", '"SourceArn":"arn:a",', "")),
        ],
        r"/event-source-mappings/[^/]+/?\Z": [*PATHS, ("", "/event-source-mappings/a", "/b")],
        r"/functions/[^/]+/aliases/[^/]+/?\Z": [*PATHS, ("", "/functions/", ""), ("/functions/a", "/aliases/a", "/b")],
        r"/functions/[^/]+/concurrency/?\Z": [*PATHS, ("", "/functions/a/concurrency", "/b")],
    },
    "ops/local/call_line.py": {
        "[A-Za-z][A-Za-z_-]{0,31}|v[0-9]{1,3}": [*NAMES, ("v", "1", "")],
        "auth|key|token|secret|signature|cookie": [*NAMES, ("", "signatur", ""), ("", "toke", "")],
    },
    "ops/local/aws.py": {
        "^service: *([A-Za-z0-9_-]+)": [("service:", " ", ""), ("", "service:\n", ""), ("", "\n", "")]
    },
}


SEARCHES = frozenset({"search", "findall", "finditer", "sub", "subn", "split"})
"""They begin anew at each character: what is linear from one place may not be linear from all."""


class Pattern(NamedTuple):
    file: str
    text: str
    flags: int
    is_searched_for: bool
    is_of_bytes: bool


def patterns() -> Iterator[Pattern]:
    """Every expression that a package hands to `re`, with its flags. Fails for one that is put together."""
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    trees = {str(file.relative_to(ROOT)): ast.parse(file.read_text()) for file in files}
    searched = {
        node.value.id
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in SEARCHES and isinstance(node.value, ast.Name)
    }
    for name, tree in trees.items():
        assert not any(isinstance(node, ast.ImportFrom) and node.module == "re" for node in ast.walk(tree)), name
        for node in ast.walk(tree):
            names = {one.id for target in getattr(node, "targets", ()) for one in ast.walk(target)
                     if isinstance(one, ast.Name)}  # fmt: skip
            for call in _calls_of_re(node):
                assert isinstance(call.args[0], ast.Constant), f"{name}:{call.lineno}: an expression without a constant"
                constant = call.args[0].value
                text = constant.decode("latin-1") if isinstance(constant, bytes) else str(constant)
                given = [one.attr for one in ast.walk(call) if isinstance(one, ast.Attribute) and one.attr.isupper()]
                flags = sum(getattr(re, one) for one in given)
                assert isinstance(call.func, ast.Attribute)
                is_searched_for = call.func.attr in SEARCHES or bool(names & searched)
                yield Pattern(name, text, flags, is_searched_for, isinstance(constant, bytes))


def _calls_of_re(statement: ast.AST) -> Iterator[ast.Call]:
    """The calls of a statement, those of statements within it apart."""
    if isinstance(statement, ast.stmt):
        todo: list[ast.AST] = [statement]
        while todo:
            node = todo.pop()
            todo += [one for one in ast.iter_child_nodes(node) if not isinstance(one, ast.stmt)]
            function = node.func if isinstance(node, ast.Call) else None
            if (
                isinstance(function, ast.Attribute)
                and isinstance(function.value, ast.Name)
                and function.value.id == "re"
            ):
                assert isinstance(node, ast.Call)
                yield from [] if function.attr in {"escape", "purge"} else [node]


FOUND = sorted(set(patterns()))


def test_every_expression_is_listed_with_what_is_worst_for_it() -> None:
    """A new one needs its hostile texts; one that went needs none."""
    assert {(one.file, one.text) for one in FOUND} == {(file, text) for file, all_ in HOSTILE.items() for text in all_}


@pytest.mark.parametrize(
    "pattern", FOUND, ids=lambda one: f"{one.file}-{one.text[:20]}".encode("unicode_escape").decode()
)
def test_time_grows_with_the_text_and_no_faster(pattern: Pattern) -> None:
    """Matched as a whole, and searched for where the code does; of several runs the best counts."""
    expression = pattern.text.encode("latin-1") if pattern.is_of_bytes else pattern.text
    compiled: re.Pattern[Any] = re.compile(expression, pattern.flags)
    for begins, repeated, ends in HOSTILE[pattern.file][pattern.text]:
        texts = (begins + repeated * (count // len(repeated)) + ends for count in (SHORT, SHORT * TIMES))
        short, long = (one.encode() if pattern.is_of_bytes else one for one in texts)
        for way in (compiled.fullmatch, *([compiled.findall] if pattern.is_searched_for else [])):
            growth = _growth(way, short, long)
            assert growth < MOST_GROWTH, f"{pattern.file}: {pattern.text} for {begins + repeated * 3 + ends!r}"


def _growth(way: object, short: str | bytes, long: str | bytes) -> float:
    """The least that was seen: a quadratic expression never gets below 16."""
    return min((_best_s(way, long) + LEAST_S) / (_best_s(way, short) + LEAST_S) for _ in range(2))


def _best_s(way: object, text: str | bytes) -> float:
    assert callable(way)
    times_s = []
    for _ in range(3):
        began_s = time.perf_counter()
        way(text)
        times_s.append(time.perf_counter() - began_s)
    return min(times_s)


@pytest.mark.parametrize(
    "pattern", FOUND, ids=lambda one: f"{one.file}-{one.text[:20]}".encode("unicode_escape").decode()
)
def test_an_expression_means_what_it_seems_to(pattern: Pattern) -> None:
    r"""`$` also matches before a last line break, and `\d` and `\w` digits and letters of all alphabets."""
    outside = re.sub(r"\\.|\[[^\]]*\]", "", pattern.text)
    assert "$" not in outside
    assert pattern.flags & re.ASCII or not re.search(r"\\[dwDW]", pattern.text)
