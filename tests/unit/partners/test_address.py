import idna
import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from partners.address import callable_host, callable_url

AS_IT_IS = [
    "https://api.acme.example",
    "https://api.acme.example/",
    "https://api.acme.example/v1/events?key=1&x=a%20b",
    "https://api.acme.example?a[]=1",
    "https://api.acme.example/?",
    "https://api.acme.example:8443/v1",
    "https://my_hook.example/a;b=c,d@e:f~",
    "https://r3---sn-x.example/",
    "https://93.184.216.34/",
    "https://10.0.0.5/behind-a-vpn",
    "https://[2001:db8::1]:8443/",
    "http://127.0.0.1:4611",
    "http://localhost/x",
    "http://[::1]:80/",
    "https://xn--bcher-kva.example/",
    f"https://{'a' * 63}.example/",
]


@pytest.mark.parametrize("url", AS_IT_IS)
def test_a_url_that_can_be_called_stays_as_it_is(url: str) -> None:
    """Ports, queries, escapes and addresses are the operator's own."""
    assert callable_url(url) == url


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("HTTPS://API.Acme.Example/V1", "https://api.acme.example/V1"),
        ("https://bücher.example/ö?ü=ä", "https://xn--bcher-kva.example/%C3%B6?%C3%BC=%C3%A4"),
        ("https://BÜCHER.example/", "https://xn--bcher-kva.example/"),
        ("https://bu\u0308cher.example/", "https://xn--bcher-kva.example/"),
        ("https://例え。テスト/", "https://xn--r8jz45g.xn--zckzah/"),
        ("https://hook.\uff45xample/", "https://hook.example/"),
        ("https://api.acme.example:00443/", "https://api.acme.example:443/"),
        ("https://[2001:DB8:0:0::1]/", "https://[2001:db8::1]/"),
    ],
)
def test_what_can_be_said_in_ascii_is(written: str, sent: str) -> None:
    """International names go out as punycode, letters of a path percent-encoded; a second time nothing changes."""
    assert callable_url(written) == sent
    assert callable_url(sent) == sent
    assert urllib3.util.parse_url(sent).url.rstrip("/") == sent.rstrip("/")


NEVER = {
    "a host": [
        "", "https://", "https:///v1", "https:api.acme.example", "https://:443/", "https://?x", "//api.acme.example",
        "https://hook..example/", "https://.hook.example/", "https://hook.example./", "https://.", "https://。example/",
        f"https://{'a' * 64}.example/", f"https://{'ü' * 60}.example/", "https://" + "a." * 126 + "example/",
        "https://-hook.example/", "https://hook-.example/", "https://ho ok.example/", "https://hook%2eexample/",
        "https://hook%00.example/", "https://ho*k.example/", "https://hook,example/", "https://hook.example!/",
        "https://xn--/", "https://xn--a.example/", "https://xn--zzzzzzzz99999999.example/", "https://faß.example/",
        "https://a\u200db.example/", "https://\U0001f9e1.example/", "https://\u202ea.example/", "https://℀.example/",
        "https://\ud800.example/", "https://hook.example\\@evil.example/",
    ],
    "an address": [
        "https://127.1/", "https://2130706433/", "https://0x7f.0.0.1/", "https://0177.0.0.1/", "https://1.2.3.256/",
        "https://1.2.3.4.5/", "https://hook.123/", "https://[::1/", "https://::1/", "https://[1.2.3.4]/",
        "https://[fe80::1%25eth0]/", "https://[::ffff:169.254.169.254]/", "https://169.254.169.254/latest",
        "https://169.254.170.2/v2", "https://[fd00:ec2::254]/", "https://[fe80::1]/", "https://0.0.0.0/", "https://[::]/",
        "https://224.0.0.1/", "https://255.255.255.255/", "https://[ff02::1]/", "https://[::1]x/",
        "https://\uff11\uff16\uff19.254.169.254/",
    ],
    "a port": [
        "https://h.example:80800/", "https://h.example:0/", "https://h.example:65536/", "https://h.example:-1/",
        "https://h.example:8o/", "https://h.example:/", "https://h.example:80:80/", "https://h.example:\uff18\uff10/",
        "https://h.example:+80/", "https://h.example:8_0/",
    ],
    "a scheme": [
        "http://h.example/", "HTTP://h.example/", "ftp://h.example/", "h.example/v1", "javascript:alert(1)", "file:///x",
        "http://127.0.0.1.h.example/", "http://127.0.0.2/", "http://localhost.h.example/", "https+x://h.example",
    ],
    "characters": [
        " https://h.example/", "https://h.example/ ", "https://h.example/\n", "https://h.exa\nmple/", "\thttps://h.example",
        "https://h.example/a b", "https://h.example/\x00", "https://h.example/\x7f", "https://h.example/\r\nX: 1",
        "https:\\\\h.example\\", "https://h.example/<x>", "https://h.example/{id}", "https://h.example/%zz",
        "https://h.example/%", "https://h.example/%2", "https://h.example/\ud800", "https://h.example/\u2028",
    ],
    "what is never sent": ["https://h.example/#", "https://h.example/#top", "https://h.example/?a#b"],
    "another place": ["https://h.example/a/../b", "https://h.example/.", "https://h.example/%2e%2E/x"],
    "credentials": [
        "https://canary:word@h.example/", "https://canary@h.example/", "https://@h.example/", "https://:@h.example/",
        "https://h.example:canary@evil.example/",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "url"), [(kind, url) for kind, urls in NEVER.items() for url in urls])
def test_what_cannot_be_called_is_refused(kind: str, url: str) -> None:
    """Before a message is lost to it, in words that hold nothing of it."""
    with pytest.raises(ValueError, match=r"^(has|must|can not) ") as raised:
        callable_url(url)
    assert "canary" not in str(raised.value)


@given(st.text(st.characters(categories=["L", "Mn", "Nd"], max_codepoint=0xFFFF), min_size=1, max_size=20))
def test_an_international_name_is_written_as_the_newer_idna_writes_it(label: str) -> None:
    """Where both know the name they give the same one: no other host than the one meant is called."""
    try:
        ours = callable_host(f"{label}.example")
        theirs = idna.encode(f"{label}.example", uts46=True).decode()
    except (ValueError, idna.IDNAError):
        return
    assert ours == theirs


@given(st.text(max_size=40))
def test_whatever_is_written_is_refused_or_can_be_called(text: str) -> None:
    """The result is ASCII, and stays what it is when it is read again."""
    for written in (text, f"https://{text}", f"https://h.example/{text}"):
        try:
            url = callable_url(written)
        except ValueError:
            continue
        assert url.isascii()
        assert url.isprintable()
        assert callable_url(url) == url
