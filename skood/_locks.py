"""Locks that more than one room of the library takes."""

import threading

# torch's CPU generator is one per process: what seeds or restores it must not run beside a fit.
# Re-entrant, because a detector may fit another one inside its own fit.
TORCH_RANDOM = threading.RLock()
