"""Can the grants of a task be used in the order that they ask for?

Law: a grant that waits for what can never come is a mistake, and is found before any task is
opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_runtime.manifests.problems import Finding, Where, did_you_mean, one_of, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sandbox_runtime.manifests.model import Grant

    Waits = Mapping[str, tuple[str, ...]]
    """By a grant's id, the ids of those that it waits for."""


def order(grants: Sequence[Grant], where: Where) -> Iterator[Finding]:
    """Yield what is wrong with the `after` of grants that stand at `where`."""
    waits = {grant.id: grant.after or () for grant in grants}
    for index, grant in enumerate(grants):
        for place, name in enumerate(grant.after or ()):
            at = (*where, index, "after", place)
            yield from _after(grant.id, name, waits, at)
            if name in (grant.after or ())[:place]:
                yield Finding(where=at, message=f"grant {quoted(name)} stands here twice")


def _after(grant: str, name: str, waits: Waits, at: Where) -> Iterator[Finding]:
    if name not in waits:
        known = [each for each in waits if each != grant]
        yield Finding(
            where=at,
            message=f"no grant {quoted(name)} in this task",
            expected=one_of(known),
            mend=did_you_mean(name, known),
        )
    elif name == grant:
        yield Finding(where=at, message=f"grant {quoted(grant)} would wait for itself")
    elif path := _path(name, grant, waits):
        circle = " → ".join(quoted(each) for each in (grant, *path))
        yield Finding(where=at, message=f"these grants wait for one another: {circle}")


def _path(start: str, end: str, waits: Waits) -> tuple[str, ...]:
    """Return the ids along which `start` waits for `end`, empty where it does not."""
    paths: list[tuple[str, ...]] = [(start,)]
    seen = {start}
    for path in paths:  # grows while it is walked
        if path[-1] == end:
            return path
        fresh = [name for name in waits.get(path[-1], ()) if name not in seen]
        seen.update(fresh)
        paths.extend((*path, name) for name in fresh)
    return ()
