"""What page was published?

Law: the body has been cleaned before it comes here, and nothing here relies on that: the
page's policy lets a browser run nothing, load only the images that the body shows, and send
nothing. The page is written as the broker writes one, so that it leaves as it stands here.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from typing import Any

from writing import answer, written

STYLE = (
    "body{max-width:60em;margin:2em auto;padding:0 1em;font:16px/1.5 sans-serif}"
    "table{border-collapse:collapse}td,th{border:1px solid #bbb;padding:.2em .6em}"
    "img{max-width:100%}pre{overflow:auto}"
)
PAGE = """<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
SOURCE = re.compile(r"<img [^<>]*?\bsrc=\"(https?://[a-z0-9.:_-]+/|data:)")


def publish(root: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Write the page; return its name, size and digest."""
    title = " ".join(arguments["title"].split())
    page = PAGE.format(
        language=html.escape(arguments["language"]),
        policy=policy(arguments["body"]),
        title=html.escape(title, quote=False),
        style=STYLE,
        body=arguments["body"],
    )
    return written(root, f"{arguments['name']}.html", page)


def policy(body: str) -> str:
    """Return what a browser may do with the page."""
    style = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    images = sorted({source.rstrip("/") for source in SOURCE.findall(body)}) or ["'none'"]
    return (
        f"default-src 'none'; img-src {' '.join(images)}; style-src 'sha256-{style}'; "
        "base-uri 'none'; form-action 'none'"
    )


if __name__ == "__main__":
    answer(publish)
