"""`python -m fer_batch.cli` is `fer-batch`."""

import sys

from fer_batch.cli import main

if __name__ == "__main__":
    sys.exit(main())
