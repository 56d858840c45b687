"""Print those names of MINIBERT_ISA that this machine has, a line each."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from minibert.errors import KernelError
from minibert.kernels.compiler import cpu

for isa in cpu.ISAS:
    try:
        cpu.pin_isa(isa)
    except KernelError:
        continue
    print(isa)
