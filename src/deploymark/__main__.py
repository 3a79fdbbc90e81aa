"""`python -m deploymark` is `deploymark`."""

import sys

from deploymark.cli import main

if __name__ == "__main__":
    sys.exit(main())
