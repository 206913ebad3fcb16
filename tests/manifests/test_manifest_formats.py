"""What a text of a format may be, against texts that only look like one."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runtime.manifests.formats import Format, NotOfFormat, canonical

WELL: dict[str, tuple[Format, str, str]] = {
    "a day": ("date", "2026-11-21", "2026-11-21"),
    "a leap day": ("date", "2024-02-29", "2024-02-29"),
    "a time in UTC": ("date-time", "2026-11-21T05:30:00Z", "2026-11-21T05:30:00Z"),
    "a time in UTC by its offset": (
        "date-time",
        "2026-11-21T05:30:00.2500+00:00",
        "2026-11-21T05:30:00.25Z",
    ),
    "a time with nothing behind its second": (
        "date-time",
        "2026-11-21T05:30:00.000Z",
        "2026-11-21T05:30:00Z",
    ),
    "a time elsewhere": ("date-time", "2026-11-21T05:30:00.25+05:30", ""),
    "a mailbox": ("email", "ada.lovelace+x@example.com", ""),
    "a mailbox's host in capitals": ("email", "Ada@EXAMPLE.com", "Ada@example.com"),
    "a host": ("hostname", "reports.example.com", ""),
    "a host in capitals": ("hostname", "Reports.Example.COM", "reports.example.com"),
    "a host of one label": ("hostname", "localhost", ""),
    "an internationalised host in ASCII": ("hostname", "xn--bcher-kva.example", ""),
    "an address": ("uri", "https://example.com/a/b?c=d&e=%C3%A4#f", ""),
    "an address in capitals": ("uri", "HTTPS://Example.COM/Path", "https://example.com/Path"),
    "an address without a path": ("uri", "https://example.com?a", "https://example.com/?a"),
    "a port that goes without saying": ("uri", "https://a.example:443/", "https://a.example/"),
    "a port with noughts": ("uri", "https://a.example:00444/", "https://a.example:444/"),
    "escapes that need not be": (
        "uri",
        "https://a.example/%7euser/%c3%a4?q=%41",
        "https://a.example/~user/%C3%A4?q=A",
    ),
    "a long IPv6 address": ("uri", "http://[2001:DB8:0:0:0:0:0:1]/", "http://[2001:db8::1]/"),
    "an address with a port": ("uri", "http://example.com:8080/", ""),
    "an IPv4 address": ("uri", "http://192.0.2.1/", ""),
    "an IPv6 address": ("uri", "http://[2001:db8::1]:81/", ""),
    "a UUID": ("uuid", "0192f0c1-7b3e-7c11-9d5e-2f6a1c3b4d5e", ""),
    "a UUID in capitals": (
        "uuid",
        "0192F0C1-7B3E-7C11-9D5E-2F6A1C3B4D5E",
        "0192f0c1-7b3e-7c11-9d5e-2f6a1c3b4d5e",
    ),
}

HOSTILE: dict[str, tuple[Format, str]] = {
    "a day that is none": ("date", "2026-02-30"),
    "a day without separators": ("date", "20261121"),
    "a day of a week": ("date", "2026-W47-6"),
    "a day in other digits": ("date", "\uff12\uff10\uff12\uff16-11-21"),
    "a day and a line": ("date", "2026-11-21\n"),
    "a day and a statement": ("date", "2026-11-21'; DROP TABLE x--"),
    "the year nought": ("date", "0000-01-01"),
    "a time of nowhere": ("date-time", "2026-11-21T05:30:00"),
    "a time with a space": ("date-time", "2026-11-21 05:30:00Z"),
    "an offset that nobody knows": ("date-time", "2026-11-21T05:30:00-00:00"),
    "a leap second": ("date-time", "2016-12-31T23:59:60Z"),
    "a time of day that is none": ("date-time", "2026-11-21T24:30:00Z"),
    "an offset of a day": ("date-time", "2026-11-21T05:30:00+24:00"),
    "a second mailbox behind a line": ("email", "ada@example.com\nbcc: eve@evil.example"),
    "a second mailbox behind CRLF": ("email", "ada@example.com\r\nbcc: eve@evil.example"),
    "a line at the end": ("email", "ada@example.com\n"),
    "two mailboxes": ("email", "ada@example.com,eve@evil.example"),
    "a name before the mailbox": ("email", "Ada <ada@example.com>"),
    "a quoted mailbox": ("email", '"ada lovelace"@example.com'),
    "a comment": ("email", "ada(eve@evil.example)@example.com"),
    "a second at": ("email", "ada@example.com@evil.example"),
    "a host with a Cyrillic a": ("email", "ada@ex\u0430mple.com"),
    "a mailbox with a Cyrillic a": ("email", "\u0430da@example.com"),
    "a full-width at": ("email", "ada\uff20example.com"),
    "a dot at the end of the host": ("email", "ada@example.com."),
    "two dots": ("email", "ada..l@example.com"),
    "a dot before the at": ("email", "ada.@example.com"),
    "a host of one label as mail": ("email", "root@localhost"),
    "an address literal": ("email", "ada@[192.0.2.1]"),
    "a long mailbox": ("email", "a" * 65 + "@example.com"),
    "nothing": ("email", ""),
    "a dot at the end": ("hostname", "example.com."),
    "a dot at the beginning": ("hostname", ".example.com"),
    "a label with a hyphen at its end": ("hostname", "a-.example.com"),
    "an underscore": ("hostname", "a_b.example.com"),
    "a long label": ("hostname", "a" * 64 + ".example.com"),
    "a long host": ("hostname", ".".join(["a" * 49] * 6)),
    "a number for a host": ("hostname", "2130706433"),
    "a hexadecimal number for a host": ("hostname", "0x7f000001"),
    "an IPv4 address with two numbers": ("hostname", "127.1"),
    "a host with a Kelvin sign": ("hostname", "\u212aexample.com"),
    "a host with an ideographic dot": ("hostname", "example\u3002com"),
    "a host and a null": ("hostname", "example.com\x00.evil.example"),
    "a script": ("uri", "javascript:alert(1)"),
    "a script that looks like an address": ("uri", "javascript://example.com/%0aalert(1)"),
    "a file": ("uri", "file:///etc/passwd"),
    "a host without a scheme": ("uri", "//evil.example/a"),
    "a user that looks like the host": ("uri", "https://example.com@evil.example/"),
    "a password": ("uri", "https://u:p@example.com/"),
    "a backslash": ("uri", "https://example.com\\@evil.example/"),
    "no host": ("uri", "https:///a"),
    "one slash": ("uri", "https:/example.com"),
    "a line in the path": ("uri", "https://example.com/a\nb"),
    "a tab in the scheme": ("uri", "ht\ttps://example.com/"),
    "an escaped line": ("uri", "https://example.com/a%0d%0aSet-Cookie:x"),
    "an escaped null": ("uri", "https://example.com/a%00"),
    "half an escape": ("uri", "https://example.com/a%2"),
    "a way up": ("uri", "https://example.com/a/../b"),
    "an escaped way up": ("uri", "https://example.com/a/%2E./b"),
    "a way up behind an escaped slash": ("uri", "https://example.com/a%2F..%2fb"),
    "a way up behind an escaped backslash": ("uri", "https://example.com/a%5c..%5cb"),
    "a port too high": ("uri", "https://example.com:65536/"),
    "a host as one number": ("uri", "http://2130706433/"),
    "an octal address": ("uri", "http://0177.0.0.1/"),
    "an IPv6 address with a zone": ("uri", "http://[fe80::1%25eth0]/"),
    "a dot behind the host": ("uri", "https://example.com./"),
    "a space": ("uri", "https://example.com/a b"),
    "an address longer than anyone reads": ("uri", "https://example.com/" + "a" * 2000),
    "a UUID in braces": ("uuid", "{0192f0c1-7b3e-7c11-9d5e-2f6a1c3b4d5e}"),
    "a UUID without hyphens": ("uuid", "0192f0c17b3e7c119d5e2f6a1c3b4d5e"),
    "a UUID and a line": ("uuid", "0192f0c1-7b3e-7c11-9d5e-2f6a1c3b4d5e\n"),
}


@pytest.mark.parametrize(("format_", "text", "form"), WELL.values(), ids=WELL)
def test_a_text_of_a_format_has_one_form(format_: Format, text: str, form: str) -> None:
    assert canonical(format_, text) == (form or text)
    assert canonical(format_, canonical(format_, text)) == canonical(format_, text)


@pytest.mark.parametrize(("format_", "text"), HOSTILE.values(), ids=HOSTILE)
def test_a_text_that_only_looks_like_it_is_refused(format_: Format, text: str) -> None:
    with pytest.raises(NotOfFormat, match="like"):
        canonical(format_, text)


FORMATS: tuple[Format, ...] = ("date", "date-time", "email", "hostname", "uri", "uuid")


@given(
    st.sampled_from(FORMATS), st.text(), st.sampled_from(sorted({t for _, t, _ in WELL.values()}))
)
def test_whatever_passes_is_one_printable_line_and_stays_as_it_is(
    format_: Format, noise: str, well: str
) -> None:
    for text in (noise, well + noise, noise + well):
        try:
            form = canonical(format_, text)
        except NotOfFormat:
            continue
        assert form.isascii()
        assert form.isprintable()
        assert canonical(format_, form) == form


WORDS = ["http", "https", "a.example", "evil.example", "127.1", "0x7f", "::1", "A", "\u0430", "\t"]
SIGNS = [*"/:@?#%[]\\", "//", "..", "%2e", "%2F", "%5c", "%40", "%00"]
PIECES = st.sampled_from(WORDS + SIGNS)


@given(st.lists(PIECES, max_size=8).map("".join))
def test_an_address_leads_where_another_reader_says_it_does(tail: str) -> None:
    for text in (tail, f"https://{tail}", f"https://a.example{tail}"):
        try:
            form = canonical("uri", text)
        except NotOfFormat:
            continue
        read = urlsplit(form)
        assert read.scheme in {"http", "https"}
        assert (read.username, read.password) == (None, None)
        assert read.hostname
        assert form.startswith((f"{read.scheme}://{read.hostname}", f"{read.scheme}://["))
        assert not {".", ".."} & set(unquote(read.path).split("/")), form
