"""What of a PNG image may leave?

Law: a signature, a header, data that inflates to exactly the pixels that the header promises, an
end, and nothing after it (PNG, third edition, section 5). Texts, profiles and other chunks that
pixels do not need are taken out: nobody sees what they carry.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Final, NoReturn

from sandbox_runtime.destinations.contract import Objection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS: Final = 32_000_000

_PLAIN: Final = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_HARMLESS: Final = frozenset(
    {b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD", b"hIST", b"pHYs"}
)
"""Numbers of known meaning that change how pixels look."""
_SMALL: Final = 1024
"""Bytes of the largest of them: a palette's transparency, or its histogram."""

_AROUND: Final = 12
"""Bytes of a chunk beside its body: length, name, checksum."""
_LENGTH, _HEADER = Struct(">I"), Struct(">IIBBBBB")
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS: Final = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
_ADAM7: Final = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""First column and row, and steps, of each pass of an interlaced image (section 8)."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a PNG."""

    name: bytes
    body: bytes

    def written(self) -> bytes:
        """Return its bytes, with length and checksum."""
        checksum = zlib.crc32(self.name + self.body)
        return _LENGTH.pack(len(self.body)) + self.name + self.body + _LENGTH.pack(checksum)


def cleaned(content: bytes) -> tuple[bytes, int]:
    """Return the image, and how many chunks were taken out; raise `Objection`."""
    chunks = list(_chunks(content))
    _expect_order([chunk.name for chunk in chunks])
    _expect_pixels(chunks)
    kept = [chunk for chunk in chunks if _stays(chunk)]
    return SIGNATURE + b"".join(chunk.written() for chunk in kept), len(chunks) - len(kept)


def _chunks(content: bytes) -> Iterator[Chunk]:
    at = len(SIGNATURE)
    while at < len(content):
        if len(content) - at < _AROUND:
            _malformed("it ends within a part")
        (length,) = _LENGTH.unpack_from(content, at)
        end = at + _AROUND + length
        chunk = Chunk(content[at + 4 : at + 8], content[at + 8 : end - 4])
        if end > len(content) or content[at:end] != chunk.written():
            _malformed("a part is cut off, or not the one its checksum is for")
        yield chunk
        at = end
        if chunk.name == b"IEND":
            break
    if at != len(content):
        _malformed("something follows its end")


def _expect_order(names: Sequence[bytes]) -> None:
    """One header first, one end last, at most one palette, and the data in one piece."""
    data = [index for index, name in enumerate(names) if name == b"IDAT"]
    whole = bool(names) and names[0] == b"IHDR" and names[-1] == b"IEND"
    once = all(names.count(name) == 1 for name in (b"IHDR", b"IEND"))
    in_one_piece = bool(data) and data[-1] - data[0] == len(data) - 1
    if not (whole and once and in_one_piece and names.count(b"PLTE") <= 1):
        _malformed("its parts do not stand in order")
    for name in names:
        if name not in _PLAIN and not name[0] & 0x20:
            _malformed("it has a part that readers must know and none does")


def _stays(chunk: Chunk) -> bool:
    return chunk.name in _PLAIN or (chunk.name in _HARMLESS and len(chunk.body) <= _SMALL)


def _expect_pixels(chunks: Sequence[Chunk]) -> None:
    if len(chunks[0].body) != _HEADER.size:
        _malformed("its header is of no known length")
    width, height, depth, colour, compression, filtering, interlace = _HEADER.unpack(chunks[0].body)
    if depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        _malformed("its header is of no known kind")
    if not 0 < width * height <= MAX_PIXELS:
        problem = f"the image has {width} by {height} pixels; at most {MAX_PIXELS} may be"
        raise Objection("file.too_large", problem)
    bits = depth * _CHANNELS[colour]
    data = (chunk.body for chunk in chunks if chunk.name == b"IDAT")
    _expect_inflates(data, _size(width, height, bits, interlaced=bool(interlace)))


def _size(width: int, height: int, bits: int, *, interlaced: bool) -> int:
    """Return the bytes of all rows: each has its filter's number and its pixels."""
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    total = 0
    for x, y, across, down in passes:
        columns, rows = -(-(width - x) // across), -(-(height - y) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * bits // 8))
    return total


def _expect_inflates(data: Iterable[bytes], size: int) -> None:
    inflating, total = zlib.decompressobj(), 0
    try:
        for piece in data:
            rest = piece
            while rest and total <= size:
                total += len(inflating.decompress(rest, 1 << 20))
                rest = inflating.unconsumed_tail
            if inflating.unused_data:
                _malformed("something follows its pixels")
        total += len(inflating.flush()) if total <= size else 0
    except zlib.error:
        _malformed("its pixels cannot be read")
    if total != size or not inflating.eof:
        _malformed("its pixels are not as many as its header says")


def _malformed(problem: str) -> NoReturn:
    raise Objection("file.malformed", f"this is no sound PNG image: {problem}")
