"""Compile many kernels before the first of them is called: in this process and in a few helper processes.

    one process compiles      it holds the cache's lock; others that start meanwhile wait, and then read the files
    its helpers compile too   each is another Python, because LLVM's compiler admits one thread at a time
    a process is killed       nothing is lost: the system frees the lock, and each file is complete or absent

A kernel is named to a helper by the path of its object file, which both processes derive by themselves.
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
HELPER = (
    "import sys; sys.path[:] = sys.argv[3:]; from importlib import import_module; "
    "import_module(sys.argv[1]).help_compile(sys.argv[2])"
)

Specialization = tuple[Kernel, tuple]  # a kernel and a signature


def precompile(needed: Iterable[Specialization], module: str, argument: object) -> None:
    """Compile those of `needed` that have no object file. A helper process calls `module.help_compile(argument)`, which calls
    `help_compile` below with the same kernels. Without a cache that can be written nothing can be handed over: each kernel is
    then compiled by its first call."""
    if not missing_of(needed) or not cache_writable():
        return
    with compile_lock(on_wait=lambda: say("minibert: waiting for another process that compiles kernels.\n")):
        missing = missing_of(needed)
        if missing:
            Compilation(missing).run(module, argument)


def missing_of(needed: Iterable[Specialization]) -> dict[str, Specialization]:
    """Path -> kernel and signature, of those whose object file does not exist; the longest to compile first."""
    paths = {str(kernel.object_path(signature)): (kernel, signature) for kernel, signature in needed}
    missing = {path: specialization for path, specialization in paths.items() if not os.path.isfile(path)}
    return dict(sorted(missing.items(), key=lambda item: -item[1][0].code_size))


class Compilation:
    """A queue of kernels, which this process and its helpers work off."""

    def __init__(self, missing: dict[str, Specialization]):
        self.missing = missing
        self.queue = deque(missing)
        self.progress = Progress(len(missing))

    def run(self, module: str, argument: object) -> None:
        helpers = self.start_helpers(module, argument)
        threads = [threading.Thread(target=self.drive, args=(helper,), daemon=True) for helper in helpers]
        try:
            for thread in threads:
                thread.start()
            self.compile_queue()
            for thread in threads:
                thread.join()
            self.compile_queue()  # what a helper could not compile
        finally:
            for helper in helpers:
                helper.kill()
                helper.communicate()
            self.progress.end()

    def take(self) -> str | None:
        try:
            return self.queue.popleft()  # atomic: no two threads get the same
        except IndexError:
            return None

    def compile_queue(self) -> None:
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
        if getattr(sys, "frozen", False) or not name.startswith("python"):
            return []  # sys.executable is not Python
        command = [sys.executable, "-c", HELPER, module, json.dumps(argument), *filter(None, map(os.path.abspath, sys.path))]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        try:
            return [subprocess.Popen(command, text=True, **pipes) for _ in range(count)]
        except OSError:
            return []


def compiled_by(helper: subprocess.Popen, path: str) -> bool:
    """Have a helper compile one kernel -> whether it did."""
    try:
        helper.stdin.write(f"{path}\n")
        helper.stdin.flush()
        return helper.stdout.readline() == "compiled\n"
    except OSError:  # the process has ended
        return False


def help_compile(needed: Iterable[Specialization]) -> None:
    """In a helper process: compile the kernels whose paths stdin lists, and answer each with a line."""
    known = {str(kernel.object_path(signature)): (kernel, signature) for kernel, signature in needed}
    for line in sys.stdin:
        path = line.rstrip("\n")
        done = path in known and compile_and_store(*known[path], announced=True) is not None and Path(path).is_file()
        print("compiled" if done else "failed", flush=True)


class Progress:
    """On a terminal, a line that counts and is erased at the end; elsewhere, one line at the start."""

    def __init__(self, total: int):
        self.total, self.done = total, 0
        self.lock = threading.Lock()
        self.on_terminal = sys.stderr is not None and sys.stderr.isatty()
        kernels = f"{total} kernels" if total > 1 else "1 kernel"
        if self.on_terminal:
            self.show()
        else:
            say(f"minibert: compiling {kernels} for this processor.\n")

    def show(self) -> None:
        say(f"\rminibert: compiling kernels for this processor: {self.done} of {self.total}")

    def step(self) -> None:
        with self.lock:
            self.done += 1
            if self.on_terminal:
                self.show()

    def end(self) -> None:
        if self.on_terminal:
            say("\r\x1b[K")


def say(text: str) -> None:
    """Write to stderr, if there is one."""
    if sys.stderr is not None:
        sys.stderr.write(text)
        sys.stderr.flush()
