"""Frames: what is written is read back, and torn is never mistaken for damaged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runtime.evidence.frames import (
    HEADER_BYTES,
    SECTOR,
    Header,
    Kind,
    Malformed,
    frame_bytes,
    is_torn,
    pack,
    unpack,
)

CHAIN = bytes(range(32))
ITEMS = [b"first record", b"", b"x" * 900]

items = st.lists(st.binary(max_size=1500), min_size=1, max_size=6)
places = st.integers(min_value=0, max_value=2**50).map(lambda unit: unit * 16)


@given(items=items, position=places)
def test_a_packed_frame_is_read_back_in_its_place(items: list[bytes], position: int) -> None:
    raw, chain = pack(items, chain=CHAIN, position=position)
    found = unpack(raw + b"what comes later", chain=CHAIN, position=position)
    assert (list(found.items), found.chain) == (items, chain)
    assert found.size == len(raw) == frame_bytes(items)


@given(items=items, position=places, elsewhere=places)
def test_a_frame_is_valid_in_no_other_place(
    items: list[bytes], position: int, elsewhere: int
) -> None:
    raw, _ = pack(items, chain=CHAIN, position=position)
    if elsewhere != position:
        with pytest.raises(Malformed):
            unpack(raw, chain=CHAIN, position=elsewhere)


def test_every_flipped_bit_of_a_last_frame_is_damage_and_not_a_torn_tail() -> None:
    raw, _ = pack(ITEMS, chain=CHAIN, position=HEADER_BYTES)
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Malformed):
            unpack(bytes(flipped), chain=CHAIN, position=HEADER_BYTES)
        assert not is_torn(bytes(flipped), base=0, offset=HEADER_BYTES)


@given(data=st.data(), items=items)
def test_a_last_frame_cut_at_any_length_is_torn(data: st.DataObject, items: list[bytes]) -> None:
    raw, _ = pack(items, chain=CHAIN, position=HEADER_BYTES)
    cut = data.draw(st.integers(min_value=1, max_value=len(raw) - 1))
    assert is_torn(raw[:cut], base=0, offset=HEADER_BYTES)


@pytest.mark.parametrize("sector", range(3))
def test_a_last_frame_with_a_sector_that_never_reached_the_disk_is_torn(sector: int) -> None:
    raw, _ = pack([b"x" * 1200], chain=CHAIN, position=HEADER_BYTES)
    whole = bytearray(bytes(HEADER_BYTES) + raw)
    end = min((sector + 1) * SECTOR, len(whole))
    whole[sector * SECTOR : end] = bytes(end - sector * SECTOR)
    assert is_torn(bytes(whole[HEADER_BYTES:]), base=0, offset=HEADER_BYTES)


def test_zeros_after_the_last_frame_are_torn() -> None:
    assert is_torn(bytes(10_000), base=0, offset=HEADER_BYTES)


def test_a_blank_sector_before_a_valid_frame_is_damage() -> None:
    first, chain = pack([b"x" * 1200], chain=CHAIN, position=HEADER_BYTES)
    second, _ = pack([b"y"], chain=chain, position=HEADER_BYTES + len(first))
    blanked = bytes(SECTOR - HEADER_BYTES) + first[SECTOR - HEADER_BYTES :] + second
    assert not is_torn(blanked, base=0, offset=HEADER_BYTES)


def test_a_frame_that_does_not_follow_the_chain_is_refused() -> None:
    raw, _ = pack(ITEMS, chain=CHAIN, position=0)
    with pytest.raises(Malformed, match="chain"):
        unpack(raw, chain=bytes(32), position=0)


def test_a_header_of_another_version_or_another_file_is_refused() -> None:
    header = Header(kind=Kind.RECORDS, base=4096, first=7, chain=CHAIN)
    assert Header.unpack(header.pack()) == header
    for raw in (b"", header.pack()[:-1], bytes(HEADER_BYTES), b"x" + header.pack()[1:]):
        with pytest.raises(Malformed):
            Header.unpack(raw)
