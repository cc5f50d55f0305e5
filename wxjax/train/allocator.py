"""How this process's allocator treats the buffers that every training step needs again."""

import ctypes
import os
import sys

# Numbers of mallopt(3) in glibc's malloc.h.
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
GIB = 2**30


def keep_memory() -> bool:
    """Lets the allocator keep up to 2 GiB of freed memory for the next step.

    XLA on a CPU allocates a program's working memory anew at every call. glibc returns
    such large blocks to the kernel, which zeroes each page again when it is touched: 57,000
    page faults and a third of the CPU time of a training step of the embedded default model.
    Call it before jax starts its threads, which would otherwise have arenas of their own.

    Not where the host stands for several devices: their threads tear the one arena apart, and
    the process grew by 140 MB a step.

    Returns:
      Whether the C library took it; false where it is not glibc, which changes nothing.
    """
    several = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if several or not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    limits = ((ARENA_MAX, 1), (MMAP_THRESHOLD, GIB), (TRIM_THRESHOLD, 2 * GIB - 1))
    return all([library.mallopt(name, value) == 1 for name, value in limits])
