"""Let a benchmark run where glibc keeps its memory, instead of faulting it in at every layer."""

import json
import os
import subprocess
import sys
from pathlib import Path

KEPT = "100000000000"  # bytes that glibc's allocator does not give back to the system


def run_keeping_memory(code):
    """Return what the Python `code`, in a process of its own, prints last, as JSON."""
    environment = {
        **os.environ, "MALLOC_TRIM_THRESHOLD_": KEPT, "MALLOC_MMAP_THRESHOLD_": KEPT,
        "PYTHONPATH": str(Path(__file__).parent),
    }
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(run.stdout.splitlines()[-1])
