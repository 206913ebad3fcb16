"""Where do diagnostics go?

Law: one JSON object a line, on standard error, for operators. They are not evidence, and hold
no argument values. Called once, by the process that serves.
"""

from __future__ import annotations

import sys

import structlog


def to_standard_error() -> None:
    """Have every event of this process written to standard error as JSON."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
