"""The command line, in a process of its own."""

import os
import subprocess
import sys

from paths import ROOT


def process(*arguments, **options):
    """Run `minibert` with these arguments in a process of its own; `options` are those of subprocess.run."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    command = [sys.executable, "-m", "minibert", *arguments]
    return subprocess.run(command, capture_output="stdout" not in options, env=environment, timeout=60, **options)
