"""Freed memory is used again, seen from the page faults of a process of its own."""

import subprocess
import sys

import pytest

FAULTS = """
import os, resource, sys
os.environ.pop("XLA_FLAGS", None)  # of the tests: several devices on one host
import numpy as np
from wxjax.train import allocator
if sys.argv[1] == "keep":
    assert allocator.keep_memory()
def touch():
    np.full(2**24, 1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
first = touch()
print(touch() - first)
"""


def faults(mode: str) -> int:
    made = subprocess.run(
        [sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True
    )
    return int(made.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_a_second_array_of_the_same_size_costs_no_page_faults():
    plain, kept = faults("plain"), faults("keep")
    assert kept < 100
    assert kept * 10 < plain or plain < 100  # huge pages may have made it cheap already
