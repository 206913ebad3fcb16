"""Which figures did the code leave open, and what are their bytes?

Law: a chart says nothing of who drew it or when, so the same figure has the same digest.
"""

from __future__ import annotations

import base64
import hashlib
import io
import sys
from typing import Any

TYPE = "image/png"
COUNT_MAX, BYTES_MAX = 4, 1 << 20


class ChartsTooLarge(Exception):  # noqa: N818 - what is wrong with them
    """There are too many charts, or one has too many bytes."""


def drawn() -> dict[str, bytes]:
    """Return every open figure of pyplot as a PNG, by name, in the order of their making."""
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    numbers = pyplot.get_fignums() if pyplot else []
    if len(numbers) > COUNT_MAX:
        msg = f"{len(numbers)} figures are open, and {COUNT_MAX} may be"
        raise ChartsTooLarge(msg)
    return {name(at): png(pyplot.figure(number)) for at, number in enumerate(numbers, 1)}


def name(at: int) -> str:
    """Return the name of the first, second, … chart."""
    return "chart.png" if at == 1 else f"chart-{at}.png"


def png(figure: Any) -> bytes:  # noqa: ANN401 - matplotlib.figure.Figure
    """Return the figure's bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    if file.tell() > BYTES_MAX:
        msg = f"a chart has {file.tell()} bytes, and {BYTES_MAX} may it have"
        raise ChartsTooLarge(msg)
    return file.getvalue()


def listed(charts: dict[str, bytes]) -> list[dict[str, str]]:
    """Return what the result says of the charts."""
    return [
        {"name": name, "type": TYPE, "digest": f"sha256:{hashlib.sha256(content).hexdigest()}"}
        for name, content in charts.items()
    ]


def attached(charts: dict[str, bytes]) -> list[dict[str, str]]:
    """Return the charts as they travel beside the result."""
    return [
        {"name": name, "type": TYPE, "data": base64.b64encode(content).decode()}
        for name, content in charts.items()
    ]
