"""What does a person do when a step cannot go on?

Law: no step ends without the commands that mend it.
"""

from __future__ import annotations


class Problem(Exception):  # noqa: N818 - it is shown to a person, under this name
    """A step cannot go on. `mend` holds what to do, a line each."""

    def __init__(self, what: str, *mend: str) -> None:
        super().__init__(what)
        self.what, self.mend = what, mend
