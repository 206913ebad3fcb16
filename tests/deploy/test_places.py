"""Set-up and broker keep out of each other's way."""

from pathlib import Path

from provision.places import Places
from sandbox_runtime.cli.options import DEFAULT_STATE


def test_what_set_up_keeps_lies_outside_the_broker_s_state_which_nobody_else_may_enter() -> None:
    machine = Places(checkout=Path("/checkout")).machine
    assert machine != DEFAULT_STATE
    assert DEFAULT_STATE not in machine.parents
    assert machine not in DEFAULT_STATE.parents
