from __future__ import annotations

import asyncio

from sandbox_runtime.call import Printed, Progressed
from sandbox_runtime.feed import AT_ONCE, KEPT, Feed


async def test_pieces_come_in_order_and_neighbours_of_one_log_as_one() -> None:
    feed = Feed()
    for said in (Printed("stdout", b"a"), Printed("stdout", b"b"), Printed("stderr", b"c")):
        feed.hear(said)
    feed.hear(Progressed(b"1"))
    feed.end()
    place, told = 0, []
    while (taken := await feed.take(place)) is not None:
        told.append(taken[0])
        place = taken[1]
    assert told == [Printed("stdout", b"ab"), Printed("stderr", b"c"), Progressed(b"1")]


async def test_who_has_read_all_waits_for_the_next_or_the_end() -> None:
    feed = Feed()
    taking = asyncio.create_task(feed.take(0))
    await asyncio.sleep(0)
    assert not taking.done()
    feed.hear(Progressed(b"1"))
    assert await taking == (Progressed(b"1"), 1)
    ending = asyncio.create_task(feed.take(1))
    await asyncio.sleep(0)
    feed.end()
    assert await ending is None


async def test_whatever_is_said_a_feed_keeps_no_more_than_it_may() -> None:
    for text in (b"", b"x" * 1000):
        feed = Feed()
        for _ in range(5000):
            feed.hear(Printed("stdout", text))
        assert 0 < 5000 - feed.first <= KEPT // 128
        assert (5000 - feed.first) * len(text) <= KEPT
        assert feed.missed_bytes == feed.first * len(text)


async def test_a_reader_gets_little_more_than_its_share_at_once() -> None:
    feed = Feed()
    for _ in range(100):
        feed.hear(Printed("stdout", b"x" * 2048))
    taken = await feed.take(0)
    assert taken is not None
    assert len(taken[0].text) == AT_ONCE
