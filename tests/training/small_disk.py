"""A disk of a few megabytes, for a child process alone: a real one, that fills up."""

import ctypes
import errno
import os
from pathlib import Path
from typing import Final

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUSER: Final = 0x10000000

NOT_ALLOWED: Final = 77
"""The exit code of a process that may not mount one."""


def mount_small_disk(folder: Path, size_bytes: int) -> None:
    """Let a folder be a disk of its own as this process and its children see it: user_namespaces(7).

    Ends the process with `NOT_ALLOWED` where the kernel lets no user do that.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0:
        os._exit(NOT_ALLOWED)
    try:
        for name, content in (
            ("setgroups", "deny"),
            ("uid_map", f"0 {user} 1"),
            ("gid_map", f"0 {group} 1"),
        ):
            Path(f"/proc/self/{name}").write_text(content)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES):
            raise
        os._exit(NOT_ALLOWED)
    options = f"size={size_bytes}".encode()
    if libc.mount(b"none", str(folder).encode(), b"tmpfs", 0, options) != 0:
        os._exit(NOT_ALLOWED)
