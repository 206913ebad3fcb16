"""What of a PDF document, a NumPy array or a Parquet table may leave?

Law: what has a signature has the rest of its frame too: an end where it must be, sizes that
agree, nothing that a reader would run. What is inside and cannot be looked into is refused.
"""

from __future__ import annotations

import math
import re
from typing import Final, NoReturn

from sandbox_runtime.destinations.contract import Objection

_PDF_END: Final = re.compile(rb"%%EOF[\r\n \t]*\Z")
_HEX: Final = re.compile(rb"#([0-9A-Fa-f]{2})")
_ACTIVE: Final = re.compile(
    rb"/(JavaScript|JS|Launch|EmbeddedFiles?|OpenAction|AA|XFA|RichMedia|SubmitForm|ImportData"
    rb"|GoToE|GoToR|URI|Movie|Sound|Rendition|ObjStm|XRef|XRefStm|Encrypt)(?![A-Za-z0-9_])"
)
"""Names that make a document act, carry files or reach out; and those behind which such names
could not be seen: compressed objects, the compressed tables that lead to them (some readers
follow these to any stream), encryption (ISO 32000-1, sections 7.5.7, 7.5.8, 7.6, 12.6)."""
_TABLE: Final = re.compile(rb"startxref\s+([0-9]{1,12})")

_NPY: Final = re.compile(
    rb"\{'descr': '[<>|=](?P<kind>[biufcmMSU?])(?P<size>[0-9]{1,6})(?:\[[a-z0-9]{1,8}\])?', "
    rb"'fortran_order': (?:True|False), "
    rb"'shape': \((?P<shape>(?:[0-9]{1,18}, ?)*(?:[0-9]{1,18})?)\), ?\} *\n"
)
"""The header as NumPy writes it. No `O`: those are pickles, and reading them runs code."""
_MAX_DIMENSIONS: Final = 32

_PARQUET: Final = b"PAR1"
_PARQUET_FRAME: Final = 12


def pdf(content: bytes) -> None:
    """Raise `Objection` where this is no document that only shows something."""
    if not re.match(rb"%PDF-[12]\.[0-9]\s", content) or not _PDF_END.search(content[-1024:]):
        _malformed("PDF document", "it has no header or no end where they must be")
    names = _HEX.sub(lambda found: bytes([int(found[1], 16)]), content)
    for text in (content, names):
        if (active := _ACTIVE.search(text)) is not None:
            name = active[1].decode("ascii")
            raise Objection(
                "file.active",
                f"the document has `/{name}`: it acts, carries files or hides what it does",
                subject=name,
                hint="print it without scripts, links, attachments and compressed objects",
            )
    tables = [int(at) for at in _TABLE.findall(content)]
    if not all(content.startswith(b"xref", at) for at in tables if at):
        _malformed("PDF document", "its table of objects is not where it says")


def npy(content: bytes) -> None:
    """Raise `Objection` where this is no array of plain numbers or texts (NEP 1)."""
    version = content[6:8]
    if version not in {b"\x01\x00", b"\x02\x00", b"\x03\x00"}:
        _malformed("NumPy array", "its version is not known")
    wide = 2 if version == b"\x01\x00" else 4
    start = 8 + wide
    length = int.from_bytes(content[8:start], "little")
    header = _NPY.fullmatch(content[start : start + length]) if length <= 1 << 16 else None
    if header is None:
        _malformed("NumPy array", "its header describes no plain numbers or texts")
    if len(content) - start - length != _npy_bytes(header):
        _malformed("NumPy array", "it has not as many bytes as its header says")


def _npy_bytes(header: re.Match[bytes]) -> int:
    shape = [int(each) for each in header["shape"].split(b",") if each.strip()]
    if len(shape) > _MAX_DIMENSIONS:
        _malformed("NumPy array", "it has too many dimensions")
    item = int(header["size"]) * (4 if header["kind"] == b"U" else 1)
    return math.prod(shape) * item


def parquet(content: bytes) -> None:
    """Raise `Objection` where this has not the frame of a Parquet file.

    What is inside the frame is not looked at: it is data, read by a library of the reader's.
    """
    if len(content) < _PARQUET_FRAME or not content.endswith(_PARQUET):
        _malformed("Parquet table", "it has no end")
    footer = int.from_bytes(content[-8:-4], "little")
    if not 0 < footer <= len(content) - _PARQUET_FRAME:
        _malformed("Parquet table", "its footer is longer than the file")


def _malformed(what: str, problem: str) -> NoReturn:
    raise Objection("file.malformed", f"this is no sound {what}: {problem}")
