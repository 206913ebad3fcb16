"""The command line: thin commands over the rooms below.

Exit codes: 0 ok; 1 refused, failed or found; 2 usage; 3 fault of ours.
"""

from sandbox_runtime.cli.main import main

__all__ = ["main"]
