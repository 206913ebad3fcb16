"""What of a JPEG image may leave?

Law: segments from the start marker to the end marker and nothing after it (ITU-T T.81, annex B).
Comments and the applications' own segments are taken out, but for those that say how colours are
meant: nobody sees what they carry.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn

from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.file.png import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Iterator

_END, _SCAN = 0xD9, 0xDA
_LENGTH, _FRAME = 2, 6
"""Bytes of a segment's length, and of a frame's header without its components."""
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TABLES: Final = frozenset({0xC4, 0xCC, 0xDB, 0xDD})
_COLOURS: Final = {0xE0: b"JFIF\x00", 0xEE: b"Adobe"}
"""Segments that say how colours and pixels are meant, by how they begin, and stay."""
_LONGEST_COLOURS: Final = 16
"""Bytes of them without a thumbnail."""
_DROPPED: Final = frozenset({*range(0xE0, 0xF0), 0xFE})

_SCANNED: Final = re.compile(rb"(?:[^\xff]++|\xff[\x00\xd0-\xd7])*+", re.DOTALL)
"""Coded pixels: 0xFF stands only before a zero, or as a restart marker."""


def cleaned(content: bytes) -> tuple[bytes, int]:
    """Return the image, and how many segments were taken out; raise `Objection`."""
    kept, dropped, marks = [b"\xff\xd8"], 0, []
    for mark, segment in _segments(content):
        if mark in _DROPPED and not _means_colours(mark, segment):
            dropped += 1
            continue
        kept.append(segment)
        marks.append(mark)
    if sum(mark in _FRAMES for mark in marks) != 1 or _SCAN not in marks:
        _malformed("it has not exactly one frame and its pixels")
    return b"".join(kept), dropped


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each marker with all bytes up to the next one, to the end of the image."""
    at = 2
    while True:
        if content[at : at + 1] != b"\xff" or at + 2 > len(content):
            _malformed("a marker is missing")
        mark = content[at + 1]
        if mark == _END:
            break
        end = _end(content, at, mark)
        yield mark, content[at:end]
        at = end
    if at + 2 != len(content):
        _malformed("something follows its end")
    yield _END, b"\xff\xd9"


def _end(content: bytes, at: int, mark: int) -> int:
    if mark not in _FRAMES | _TABLES | _DROPPED | {_SCAN}:
        _malformed("it has a part of no known kind")
    length = int.from_bytes(content[at + 2 : at + 4], "big")
    end = at + 2 + length
    if length < _LENGTH or end > len(content):
        _malformed("it ends within a part")
    if mark in _FRAMES:
        _expect_size(content[at + 4 : end])
    if mark == _SCAN:
        pixels = _SCANNED.match(content, end)
        end = pixels.end() if pixels is not None else end
    return end


def _expect_size(frame: bytes) -> None:
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    if len(frame) < _FRAME or not width * height:
        _malformed("its header is of no known kind")
    if width * height > MAX_PIXELS:
        problem = f"the image has {width} by {height} pixels; at most {MAX_PIXELS} may be"
        raise Objection("file.too_large", problem)


def _means_colours(mark: int, segment: bytes) -> bool:
    begins = _COLOURS.get(mark)
    body = segment[4:]
    return begins is not None and body.startswith(begins) and len(body) <= _LONGEST_COLOURS


def _malformed(problem: str) -> NoReturn:
    raise Objection("file.malformed", f"this is no sound JPEG image: {problem}")
