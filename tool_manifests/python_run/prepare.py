"""Make at build time what every call would make again: byte code and the font cache.

Byte code is marked as never to be compared with its source: files in an image do not
change, and their times say nothing.
"""

import compileall
import os
import re
import sys
from pathlib import Path
from py_compile import PycInvalidationMode

HERE = Path(__file__).parent
TESTS = re.compile(r"/tests/")  # half of what there is, and never imported

compileall.compile_dir(
    HERE, rx=TESTS, quiet=2, workers=0, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
)
(HERE / "fonts").mkdir()
os.environ["MPLCONFIGDIR"] = str(HERE / "fonts")
sys.path.append(str(HERE / "packages"))
import matplotlib.font_manager  # noqa: E402, F401 - importing it writes the cache
