"""``python -m kask`` is the ``kask`` command."""

import sys

from kask.cli import main

sys.exit(main())
