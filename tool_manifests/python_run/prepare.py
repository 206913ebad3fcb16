"""Make at build time what every call would make again: byte code and the font cache.

Byte code is marked as never to be compared with its source. Files in an image do not
change, and their times depend on who built it.
"""

import compileall
import os
from pathlib import Path
from py_compile import PycInvalidationMode

PACKAGES = "/usr/lib/python3/dist-packages"
FONTS = Path(__file__).with_name("fonts")

for folder in (PACKAGES, Path(__file__).parent):
    compileall.compile_dir(
        folder, quiet=2, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH, force=True
    )

FONTS.mkdir()
os.environ["MPLCONFIGDIR"] = str(FONTS)
import matplotlib.font_manager  # noqa: E402, F401 - importing it writes the cache
