"""Compile many kernels at once, before the first of them is called: in this process and in a few beside it.

    one process compiles      it holds the cache's lock; others that start meanwhile wait, and find the files
    its helpers compile too   each is another Python, for LLVM's compiler lets one thread in at a time
    whoever is killed         loses nothing: the lock is free again at once, and each file is there whole or not at all

A helper is told which kernel by the path of its object file, which both sides work out by themselves.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from ..compiler.call import compile_and_store
from ..compiler.jit import Kernel
from ..compiler.object_cache import cache_writable, compile_lock
from .thread_count import get_num_threads

MAX_HELPERS = 3  # each takes 150 MB
HELPER = "import sys; sys.path[:] = sys.argv[3:]; from importlib import import_module; import_module(sys.argv[1]).help_compile(sys.argv[2])"

Needed = tuple[Kernel, tuple]  # a kernel and a signature


def precompile(needed: Iterable[Needed], module: str, argument: object) -> None:
    """Compile those of `needed` that have no object file. A helper is a process that calls `module.help_compile(argument)`,
    which calls `help_compile` below with the same kernels."""
    if not missing_of(needed):
        return
    with compile_lock(on_wait=lambda: say("minibert: waiting for another process that compiles kernels.\n")):
        missing = missing_of(needed)
        if missing:
            Compilation(missing).run(module, argument)


def missing_of(needed: Iterable[Needed]) -> dict[str, Needed]:
    """Path of the object file -> kernel and signature, of those that have no file; the longest to compile first."""
    paths = {str(kernel.object_path(signature)): (kernel, signature) for kernel, signature in needed}
    missing = {path: each for path, each in paths.items() if not os.path.isfile(path)}
    return dict(sorted(missing.items(), key=lambda item: -item[1][0].code_size))


class Compilation:
    """Kernels that are being compiled, by whoever takes the next one."""

    def __init__(self, missing: dict[str, Needed]):
        self.missing = missing
        self.queue = deque(missing)
        self.progress = Progress(len(missing))

    def run(self, module: str, argument: object) -> None:
        helpers = self.start_helpers(module, argument)
        threads = [threading.Thread(target=self.drive, args=(helper,), daemon=True) for helper in helpers]
        try:
            for thread in threads:
                thread.start()
            self.compile_here()
            for thread in threads:
                thread.join()
            self.compile_here()  # what a helper has failed at
        finally:
            for helper in helpers:
                helper.kill()
                helper.communicate()
            self.progress.end()

    def take(self) -> str | None:
        try:
            return self.queue.popleft()  # one step of the interpreter: nobody else gets it too
        except IndexError:
            return None

    def compile_here(self) -> None:
        while path := self.take():
            compile_and_store(*self.missing[path], announced=True)
            self.progress.step()

    def drive(self, helper: subprocess.Popen) -> None:
        """Have a helper compile one kernel after another."""
        while path := self.take():
            if not compiled_by(helper, path):
                self.queue.append(path)
                return
            self.progress.step()

    def start_helpers(self, module: str, argument: object) -> list[subprocess.Popen]:
        count = min(get_num_threads() - 1, len(self.missing) - 1, MAX_HELPERS)
        name = os.path.basename(sys.executable or "")
        if getattr(sys, "frozen", False) or not name.startswith("python") or not cache_writable():
            return []  # what would be started is not Python; or nothing it compiled could be handed over
        command = [sys.executable, "-c", HELPER, module, json.dumps(argument), *filter(None, map(os.path.abspath, sys.path))]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        try:
            return [subprocess.Popen(command, text=True, **pipes) for _ in range(count)]
        except OSError:
            return []


def compiled_by(helper: subprocess.Popen, path: str) -> bool:
    try:
        helper.stdin.write(f"{path}\n")
        helper.stdin.flush()
        return helper.stdout.readline() == "compiled\n"
    except OSError:  # it has died
        return False


def help_compile(needed: Iterable[Needed]) -> None:
    """A helper's work: compile what stdin names, a path a line, and answer each with a line."""
    known = {str(kernel.object_path(signature)): (kernel, signature) for kernel, signature in needed}
    for line in sys.stdin:
        path = line.rstrip("\n")
        done = path in known and compile_and_store(*known[path], announced=True) is not None and Path(path).is_file()
        print("compiled" if done else "failed", flush=True)


class Progress:
    """On a terminal a count in one line, which vanishes at the end; elsewhere one line."""

    def __init__(self, total: int):
        self.total, self.done = total, 0
        self.lock = threading.Lock()
        self.counts = sys.stderr is not None and sys.stderr.isatty()
        kernels = f"{total} kernels" if total > 1 else "1 kernel"
        if self.counts:
            self.show()
        else:
            say(f"minibert: compiling {kernels} for this processor.\n")

    def show(self) -> None:
        say(f"\rminibert: compiling kernels for this processor: {self.done} of {self.total}")

    def step(self) -> None:
        with self.lock:
            self.done += 1
            if self.counts:
                self.show()

    def end(self) -> None:
        if self.counts:
            say("\r\x1b[K")


def say(text: str) -> None:
    """Write to stderr, if there is one."""
    if sys.stderr is not None:
        sys.stderr.write(text)
        sys.stderr.flush()
