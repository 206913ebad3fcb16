"""What do a segment's header and a frame look like, and when is a bad frame merely torn?

Law: a frame is one group commit, whole or not at all. The writer syncs each frame before
it writes the next, so a crash can spoil the last frame and no other. A bad frame is *torn*
(never acknowledged) only if it shows what a crash leaves: bytes missing at the end of the
file, or a sector that still reads as zeros. Everything else is damage.

Layout, big-endian. A segment is one header and then frames.

    header  magic 8, version u32, base u64, first u64, chain 32, crc32c u32
    frame   mark 4, length u32, crc32c u32 of what follows, crc32c u32 of the head
            chain 32, then items (length u32, bytes), then 1 to 16 bytes 0xff

`base` is the position of the header's first byte in the stream (segments laid end to
end), `first` the sequence number of the segment's first item, `chain` the value after the
last frame before. A frame's chain is SHA-256 over the chain before it and its items. The
head's checksum starts from the frame's position, so a frame is valid in one place only.
Frames begin on multiples of 16: a head never straddles two sectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from struct import Struct
from typing import TYPE_CHECKING, Final

from google_crc32c import extend, value

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

VERSION: Final = 1
SECTOR: Final = 512
"""Bytes that a disk writes whole or not at all."""

MAX_CONTENT: Final = 64 * 2**20
"""The most that one frame may hold, lengths and chain value included."""

_UNIT: Final = 16
_MARK: Final = b"\xf5SBF"
_HEADER: Final = Struct(">8sIQQ32s")
_HEAD: Final = Struct(">4sII")
_U32: Final = Struct(">I")
_U64: Final = Struct(">Q")
_CHAIN_BYTES: Final = 32

HEADER_BYTES: Final = _HEADER.size + _U32.size
HEAD_BYTES: Final = _HEAD.size + _U32.size


class Malformed(Exception):  # noqa: N818 - turned into DamagedLog where the place is known
    """These bytes are no header or no frame."""


class Kind(Enum):
    """The two streams of one log. Each value is the magic of the stream's segments."""

    RECORDS = b"SBRECORD"
    BODIES = b"SBBODIES"

    def directory(self, root: Path) -> Path:
        """Return where under `root` the stream's segments lie."""
        return root / {Kind.RECORDS: "log", Kind.BODIES: "blobs"}[self]

    @property
    def genesis(self) -> bytes:
        """The chain value before the stream's first frame."""
        return sha256(self.value).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first bytes of a segment: where it stands in its stream."""

    kind: Kind
    base: int
    first: int
    chain: bytes

    def pack(self) -> bytes:
        """Return the header's bytes."""
        raw = _HEADER.pack(self.kind.value, VERSION, self.base, self.first, self.chain)
        return raw + _U32.pack(value(raw))

    @classmethod
    def unpack(cls, raw: bytes) -> Header:
        """Return the header in `raw`; raise `Malformed`."""
        if len(raw) != HEADER_BYTES or _U32.pack(value(raw[:-4])) != raw[-4:]:
            raise Malformed("the segment's header is damaged")
        magic, version, base, first, chain = _HEADER.unpack(raw[:-4])
        if version != VERSION:
            raise Malformed(f"the segment has version {version}, this reader knows {VERSION}")
        return cls(kind=_kind(magic), base=base, first=first, chain=chain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """One whole frame: its items, the chain value after it, its bytes on disk."""

    items: tuple[bytes, ...]
    chain: bytes
    size: int


def frame_bytes(items: Sequence[bytes]) -> int:
    """Return how many bytes a frame of these items takes on disk."""
    content = _CHAIN_BYTES + sum(map(len, items)) + _U32.size * len(items)
    return HEAD_BYTES + _padded(content)


def pack(items: Sequence[bytes], *, chain: bytes, position: int) -> tuple[bytes, bytes]:
    """Return one frame's bytes for `position` of the stream, and the chain value after it."""
    packed = b"".join(part for item in items for part in (_U32.pack(len(item)), item))
    after = sha256(chain + packed).digest()
    length = _CHAIN_BYTES + len(packed)
    content = b"".join((after, packed, b"\xff" * (_padded(length) - length)))
    head = _HEAD.pack(_MARK, length, value(content))
    return b"".join((head, _seal(head, position), content)), after


def frame_size(raw: bytes, position: int) -> int:
    """Return the bytes of the frame whose head begins `raw`; raise `Malformed`."""
    head, seal = raw[: _HEAD.size], raw[_HEAD.size : HEAD_BYTES]
    if not head.startswith(_MARK) or seal != _seal(head, position):
        raise Malformed("the frame's head is damaged, or the frame belongs elsewhere")
    length: int = _HEAD.unpack(head)[1]
    if not _CHAIN_BYTES < length <= MAX_CONTENT:
        raise Malformed(f"no frame of ours has {length} bytes")
    return HEAD_BYTES + _padded(length)


def unpack(raw: bytes, *, chain: bytes | None, position: int) -> Unpacked:
    """Return the frame that begins `raw`; raise `Malformed`.

    `chain` is the value before it; None where the reader comes from nowhere, and the
    frame's own value is taken.
    """
    size = frame_size(raw, position)
    _, length, checksum = _HEAD.unpack(raw[: _HEAD.size])
    content = raw[HEAD_BYTES:size]
    if len(raw) < size or value(content) != checksum:
        raise Malformed("the frame's content does not match its checksum")
    stored, packed = content[:_CHAIN_BYTES], content[_CHAIN_BYTES:length]
    if chain is not None and stored != sha256(chain + packed).digest():
        raise Malformed("the frame does not continue the chain")
    return Unpacked(items=tuple(_split(packed)), chain=stored, size=size)


def is_torn(rest: bytes, *, base: int, offset: int) -> bool:
    """Tell a write that a crash cut short from damage.

    `rest` is the last segment from the bad frame at `offset` to its end.
    """
    if len(rest) < HEAD_BYTES or _is_blank(rest):
        return True
    try:
        size = frame_size(rest, base + offset)
    except Malformed:
        # INVARIANT (one unsynced frame): a valid head further on means that the bad frame
        # had been synced, so it is damaged and not torn.
        return _is_blank(rest[: _to_sector(offset)]) and not _has_head(rest, base + offset)
    return len(rest) < size or (_is_blank(rest[size:]) and _has_hole(rest[:size], offset))


def _kind(magic: bytes) -> Kind:
    try:
        return Kind(magic)
    except ValueError as unknown:
        raise Malformed("the file is no segment of ours") from unknown


def _padded(length: int) -> int:
    # At least one byte 0xff, so that a sector reading as zeros was never written.
    return (length // _UNIT + 1) * _UNIT


def _seal(head: bytes, position: int) -> bytes:
    return _U32.pack(extend(value(_U64.pack(position)), head))


def _split(packed: bytes) -> list[bytes]:
    items, at = [], 0
    while at < len(packed):
        begin = at + _U32.size
        at = begin + int.from_bytes(packed[at:begin])
        items.append(packed[begin:at])
    if at != len(packed):
        raise Malformed("the frame's items do not add up")
    return items


def _is_blank(raw: bytes) -> bool:
    return raw.count(0) == len(raw)


def _to_sector(offset: int) -> int:
    return SECTOR - offset % SECTOR


def _has_hole(frame: bytes, offset: int) -> bool:
    starts = range(_to_sector(offset), len(frame), SECTOR)
    return any(_is_blank(frame[start : start + SECTOR]) for start in starts)


def _has_head(rest: bytes, position: int) -> bool:
    at = rest.find(_MARK)
    while at >= 0:
        try:
            frame_size(rest[at : at + HEAD_BYTES], position + at)
        except Malformed:
            at = rest.find(_MARK, at + 1)
        else:
            return True
    return False
