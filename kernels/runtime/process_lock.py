"""A lock for what a process does once."""

from __future__ import annotations

import os
from threading import Lock


class ProcessLock:
    """A lock that is free in a forked child: the thread that held it exists only in the parent."""

    def __init__(self) -> None:
        self.renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.lock = Lock()

    def __enter__(self) -> None:
        self.lock.acquire()

    def __exit__(self, *error: object) -> None:
        self.lock.release()
