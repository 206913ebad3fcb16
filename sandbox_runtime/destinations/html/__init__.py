"""HTML that a browser will show."""

from sandbox_runtime.destinations.html.destination import Html
from sandbox_runtime.destinations.html.settings import HtmlSettings

__all__ = ["Html", "HtmlSettings"]
