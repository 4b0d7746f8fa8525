"""`training.run` as on a machine without native bf16, where sums can be compared closely."""

import sys

from training import hardware
from training.run import main

hardware._cpu_has_bfloat16 = lambda: False

if __name__ == "__main__":
    sys.exit(main())
