"""How do the parts that carry files become one?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_runtime.evidence import layout
from sandbox_runtime.evidence.kept import KeptFiles
from sandbox_runtime.evidence.keys import Keys
from sandbox_runtime.filing import Filing, Getting, Keeping, Putting, Transfers
from sandbox_runtime.server import state

if TYPE_CHECKING:
    from sandbox_runtime.filing.needs import Housing, Validators
    from sandbox_runtime.ledger import Ledger
    from sandbox_runtime.server.settings import Settings


def filing(settings: Settings, ledger: Ledger, housing: Housing, validators: Validators) -> Filing:
    """Return what brings files in and lets them out."""
    root, limits = Path(settings.state_dir), settings.files
    transfers = Transfers(
        of_task=limits.at_once, of_subject=limits.subject_at_once, of_all=limits.all_at_once
    )
    kept = KeptFiles(
        directory=layout.kept_directory(root),
        keys=Keys.open(layout.keys_directory(root)),
        headroom=settings.evidence.headroom,
    )
    putting = Putting(
        ledger=ledger,
        housing=housing,
        transfers=transfers,
        staging=state.staging(root),
        most=limits.put,
        headroom=settings.evidence.headroom,
    )
    getting = Getting(
        ledger=ledger,
        housing=housing,
        validators=validators,
        transfers=transfers,
        kept=kept,
        most=limits.get,
    )
    keeping = Keeping(ledger=ledger, getting=getting, kept=kept, most=limits.get)
    return Filing(putting=putting, getting=getting, keeping=keeping)
