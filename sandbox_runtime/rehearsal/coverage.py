"""Which words of the task manifests have shown in a case that they work?

Law: a grant is covered once it permitted a call, an output once one was accepted, a constraint
or a destination once it refused. What nobody has seen refuse may be inverted, misspelt or never
reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_runtime.call import Refused
from sandbox_runtime.manifests.effective import effective

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sandbox_runtime.call import Rule
    from sandbox_runtime.manifests.catalogue import Catalogue, Place
    from sandbox_runtime.manifests.model import Grant, TaskSpec
    from sandbox_runtime.rehearsal.answers import JudgedOutput
    from sandbox_runtime.rehearsal.playing import Judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word of a task's manifest, and whether a case has shown it at work."""

    task: str
    grant: str
    """Empty: it is a word of an output."""
    what: str
    """`permits`, or what has to refuse: `query: sql`, `after`."""
    place: Place
    covered: bool


def words(
    tree: Catalogue, calls: Iterable[Judged], outputs: Iterable[JudgedOutput] = ()
) -> tuple[Word, ...]:
    """Return every word that can be shown at work, in the order of the manifests."""
    seen = {(one.task.manifest.name, rule) for one in calls for rule in _shown(one)}
    seen |= {(one.task.manifest.name, one.decision.rule) for one in outputs}
    return tuple(
        Word(
            task=task.name,
            grant=grant,
            what=what,
            place=task.place(rule),
            covered=(task.name, rule) in seen,
        )
        for task in tree.tasks.values()
        for grant, what, rule in _words(tree, task.manifest.spec)
    )


def _words(tree: Catalogue, spec: TaskSpec) -> Iterator[tuple[str, str, Rule]]:
    for index, grant in enumerate(spec.grants):
        for what, rule in _asked(tree, index, grant):
            yield grant.id, what, rule
    for name, output in spec.outputs.items():
        where: Rule = ("spec", "outputs", name)
        yield "", f"output {name}: permits", where
        for kind, _ in output.checks():
            yield "", f"output {name}: {kind}", (*where, kind)


def _shown(judged: Judged) -> Iterator[Rule]:
    """Yield the rules at work in a call: what refused it under each grant, and what permitted."""
    for turn in judged.turns:
        if isinstance(turn, Refused):
            yield turn.rule
        elif judged.decision == turn:
            yield turn.rule
            return


def _asked(tree: Catalogue, index: int, grant: Grant) -> Iterator[tuple[str, Rule]]:
    where: Rule = ("spec", "grants", index)
    yield "permits", (*where, "id")
    for place, _ in enumerate(grant.after or ()):
        yield "after", (*where, "after", place)
    if grant.rate is not None:
        yield "rate", (*where, "rate")
    for name, rule in effective(tree.tools[grant.tool].manifest, grant).items():
        at: Rule = (*where, "arguments", name)
        for kind, _ in rule.checks:
            yield f"{name}: {kind}", (*at, kind)
        for leaf in rule.constraints.leaves() if rule.constraints is not None else ():
            yield f"{name}: {'.'.join(map(str, leaf))}", (*at, *leaf)
