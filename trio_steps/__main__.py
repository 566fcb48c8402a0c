"""``python -m trio_steps``, which is ``trio-steps``."""

import sys

from trio_steps._cli import main

if __name__ == "__main__":
    sys.exit(main())
