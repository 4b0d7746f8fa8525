"""A process that should ask an export and dies instead: `dying_asker HOW OUT_DIR`."""

import errno
import os
import signal
import sys

if __name__ == "__main__":
    match sys.argv[1]:
        case "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case reason:
            raise ValueError(reason)
