"""Locks that more than one room of the library takes."""

import os
import threading

# torch's CPU generator is one per process: what seeds or restores it must not run beside a fit.
# Re-entrant, because a detector may fit another one inside its own fit.
TORCH_RANDOM = threading.RLock()

if hasattr(os, "register_at_fork"):  # a child forked during a fit must not wait for its parent's
    os.register_at_fork(after_in_child=TORCH_RANDOM._at_fork_reinit)
