"""May this call run, and may its result go on?

Law: pure functions of recorded inputs. Nothing here knows a clock, a file or a socket, so
anyone can decide a recorded call again, bit for bit.
"""

from sandbox_runtime.policy.admit import Admitted, Opener, admit
from sandbox_runtime.policy.answer import Invalid, ToolAnswer, answer_checks, read_answer
from sandbox_runtime.policy.decide import (
    Turn,
    decide,
    may_run,
    spent,
    time_left,
    tried,
    wall_time_left,
)
from sandbox_runtime.policy.files import (
    HeldBack,
    carries,
    has_ended,
    inherits,
    left,
    way_out,
    workspace,
)
from sandbox_runtime.policy.match import match
from sandbox_runtime.policy.mounting import mounted, unavailing
from sandbox_runtime.policy.opener import (
    DelegateNotAllowed,
    claims,
    delegated,
    extended,
    hears,
    stands_in,
)
from sandbox_runtime.policy.outputs import decide_output, match_output, outputs_left
from sandbox_runtime.policy.release import bytes_left, release

__all__ = [
    "Admitted",
    "DelegateNotAllowed",
    "HeldBack",
    "Invalid",
    "Opener",
    "ToolAnswer",
    "Turn",
    "admit",
    "answer_checks",
    "bytes_left",
    "carries",
    "claims",
    "decide",
    "decide_output",
    "delegated",
    "extended",
    "has_ended",
    "hears",
    "inherits",
    "left",
    "match",
    "match_output",
    "may_run",
    "mounted",
    "outputs_left",
    "read_answer",
    "release",
    "spent",
    "stands_in",
    "time_left",
    "tried",
    "unavailing",
    "wall_time_left",
    "way_out",
    "workspace",
]
