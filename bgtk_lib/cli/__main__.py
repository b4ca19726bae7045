"""`python -m bgtk_lib.cli` is `bgtk`."""

import sys

from bgtk_lib.cli import main

sys.exit(main())
