"""How many connections can this process hold, and still do its work?

Law: strangers never take the descriptors that the log, the engine and known callers need. The
soft limit that a shell or a service manager sets by habit is raised as far as the hard one lets us.
"""

from __future__ import annotations

import resource
from typing import Final

_WANTED: Final = 16_384
_OWN: Final = 512
"""For everything but connections from other machines."""
_OF_CONNECTION: Final = 3
"""Its own, and both ends of the one to the private socket that it is led to."""


def raise_limit() -> None:
    """Let this process have as many descriptors as it may want. Raises nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections() -> int:
    """Return how many connections from other machines leave enough for everything else."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    many = _WANTED if soft == resource.RLIM_INFINITY else soft
    return max(many - _OWN, many // 4) // _OF_CONNECTION
