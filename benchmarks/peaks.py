"""The most this machine can do: arithmetic that never waits for memory, and memory that never waits for arithmetic.

    arithmetic(work, "fp32")     a call of this many operations: multiply-adds (two each) on registers
    arithmetic(work, "bf16")     the same of pairs of bf16, if the processor has the instruction; else None
    arithmetic(work, "int8")     the same in 8 bits, by the best instruction for vectors here; None if there is none
    arithmetic(work, "bf16 tiles"), arithmetic(work, "int8 tiles")       products of AMX's tiles; None if there are none
    blas()                       a call of a large float32 product by NumPy's OpenBLAS, and its operations
    memory()                     a call that copies arrays larger than the caches, and the bytes it reads and writes

All run on as many threads as the kernels. They are calls, so that they can be timed in turn with what is compared with
them: a machine that is shared, or warm, is slower for both.

    python -m benchmarks.peaks [--rounds 9]     all of them, on one thread and on each core
"""

from __future__ import annotations

import argparse
import ctypes
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minibert.kernels.runtime.thread_count import get_num_threads, set_num_threads

from .measuring import document, machine, markdown, time_in_turn, write

CHAINS = 12  # independent accumulators: more than latency times units, fewer than registers
TASK = 200e6  # float32 operations of a task: some 2 ms, so that a core that is taken away for a while delays one task only
LONG = 96 << 20  # bytes of an array to copy: three times a large L3


TILE_BYTES = {"bf16 tiles": ("tdpbf16ps", 2), "int8 tiles": ("tdpbusd", 1)}  # the instruction, bytes of a factor
SPEED = {"fp32": 1, "bf16": 1, "int8": 4, "bf16 tiles": 16, "int8 tiles": 32}  # roughly, in operations of float32


class Instruction(NamedTuple):
    """One multiply-add in LLVM IR: on the accumulator %a0 and the constant %x, both of type `sums`."""

    sums: str
    lines: str  # from {a} to {b}
    declared: str
    operations: int

    @property
    def operations_of_step(self) -> int:
        return CHAINS * self.operations

    @property
    def source(self) -> str:
        return vector_source(self)


class Tiles(NamedTuple):
    """A product of two tiles of 16 rows of 64 bytes; a step is four of them, as in a kernel's block."""

    name: str
    factor_bytes: int

    @property
    def operations_of_step(self) -> int:
        return 4 * 2 * 16 * 16 * 64 // self.factor_bytes

    @property
    def source(self) -> str:
        return tile_source(self.name)


def fma(lanes: int) -> Instruction:
    vector = f"<{lanes} x float>"
    name = f"{vector} @llvm.fma.v{lanes}f32"
    return Instruction(
        vector,
        f"{{b}} = call {name}({vector} {{a}}, {vector} %x, {vector} %x)",
        f"declare {name}({vector}, {vector}, {vector})",
        2 * lanes,
    )


def vpdpbusd() -> Instruction:
    """AVX-512 VNNI: 64 products of 8 bits, four to a sum."""
    from llvmlite.binding import llvm_version_info

    sums = "<16 x i32>"
    factors = "<64 x i8>" if llvm_version_info[0] >= 22 else sums
    name = f"{sums} @llvm.x86.avx512.vpdpbusd.512"
    lines = f"{{b}}x = bitcast {sums} %x to {factors}\n  {{b}} = call {name}({sums} {{a}}, {factors} {{b}}x, {factors} {{b}}x)"
    return Instruction(sums, lines, f"declare {name}({sums}, {factors}, {factors})", 128)


def vdpbf16ps() -> Instruction:
    """AVX-512 BF16: 32 products of bf16, two to a sum."""
    from llvmlite.binding import llvm_version_info

    sums, factors = "<16 x float>", "<32 x bfloat>" if llvm_version_info[0] >= 16 else "<16 x i32>"
    name = f"{sums} @llvm.x86.avx512bf16.dpbf16ps.512"
    lines = f"{{b}}x = bitcast {sums} %x to {factors}\n  {{b}} = call {name}({sums} {{a}}, {factors} {{b}}x, {factors} {{b}}x)"
    return Instruction(sums, lines, f"declare {name}({sums}, {factors}, {factors})", 64)


def pmaddwd() -> Instruction:
    """AVX2: 16 products of 16 bits, two to a sum, and one addition."""
    sums, factors = "<8 x i32>", "<16 x i16>"
    name = f"{sums} @llvm.x86.avx2.pmadd.wd"
    lines = (
        f"{{b}}x = bitcast {sums} %x to {factors}\n  {{b}}a = bitcast {sums} {{a}} to {factors}\n"
        f"  {{b}}p = call {name}({factors} {{b}}a, {factors} {{b}}x)\n  {{b}} = add {sums} {{a}}, {{b}}p"
    )
    return Instruction(sums, lines, f"declare {name}({factors}, {factors})", 32)


def instruction(numbers: str) -> Instruction | Tiles | None:
    from llvmlite.binding import get_host_cpu_features

    if numbers in TILE_BYTES:
        from minibert.kernels.compiler.cpu import HAS_AMX  # whose module requests the tiles from the system

        return Tiles(*TILE_BYTES[numbers]) if HAS_AMX else None
    features = get_host_cpu_features()
    if numbers == "int8":
        return vpdpbusd() if features.get("avx512vnni") else pmaddwd() if features.get("avx2") else None
    if numbers == "bf16":
        return vdpbf16ps() if features.get("avx512bf16") else None
    return fma(16 if features.get("avx512f") else 8 if features.get("avx") else 4)


def vector_source(step: Instruction) -> str:
    """A function in LLVM IR: CHAINS accumulators, `steps` times, and their total so that none is optimized away."""
    vector, names = step.sums, range(CHAINS)
    scalar = vector.split()[-1].rstrip(">")
    add = "fadd" if scalar == "float" else "add"
    start = [f"  %a{n} = phi {vector} [ zeroinitializer, %entry ], [ %b{n}, %loop ]" for n in names]
    steps = ["  " + step.lines.format(a=f"%a{n}", b=f"%b{n}") for n in names]
    total = [f"  %t{n} = {add} {vector} {f'%t{n - 1}' if n > 1 else '%b0'}, %b{n}" for n in names[1:]]
    before = [f"  %x = load {vector}, {vector}* %buffer, align 4"]
    after = [*total, f"  store {vector} %t{CHAINS - 1}, {vector}* %buffer, align 4"]
    return "\n".join([step.declared, *loop_source(f"{vector}*", before, [*start, *steps], after)])


def tile_source(name: str) -> str:
    """The same for tiles: 0 to 3 are sums, 4 to 7 factors, all of them 0."""
    config = bytes([1, *[0] * 15, *[64, 0] * 8, *[0] * 16, *[16] * 8, *[0] * 8])  # Intel's manual, "LDTILECFG"
    content = "".join(f"\\{byte:02X}" for byte in config)
    zeros = [f"  call void @llvm.x86.tilezero(i8 {tile})" for tile in range(8)]
    products = [f"  call void @llvm.x86.{name}(i8 {tile}, i8 {4 + tile // 2}, i8 {6 + tile % 2})" for tile in range(4)]
    header = [
        f'@config = private constant [{len(config)} x i8] c"{content}", align 64',
        "declare void @llvm.x86.ldtilecfg(i8*)",
        "declare void @llvm.x86.tilerelease()",
        "declare void @llvm.x86.tilezero(i8)",
        f"declare void @llvm.x86.{name}(i8, i8, i8)",
    ]
    configure = [f"  %c = bitcast [{len(config)} x i8]* @config to i8*", "  call void @llvm.x86.ldtilecfg(i8* %c)"]
    return "\n".join([*header, *loop_source("i8*", [*configure, *zeros], products, ["  call void @llvm.x86.tilerelease()"])])


def loop_source(buffer: str, before: list[str], body: list[str], after: list[str]) -> list[str]:
    """The function `loop`, of a number of steps and a buffer of this type."""
    return [
        f"define void @loop(i64 %steps, {buffer} %buffer) {{",
        "entry:",
        *before,
        "  br label %loop",
        "loop:",
        "  %i = phi i64 [ 0, %entry ], [ %next, %loop ]",
        *body,
        "  %next = add i64 %i, 1",
        "  %more = icmp slt i64 %next, %steps",
        "  br i1 %more, label %loop, label %done",
        "done:",
        *after,
        "  ret void",
        "}",
    ]


def compile_loop(step: Instruction | Tiles) -> Callable:
    """The loop as a function of no arguments that any thread may call."""
    import llvmlite.binding as llvm

    for prepare in (llvm.initialize, llvm.initialize_native_target, llvm.initialize_native_asmprinter):
        try:
            prepare()
        except RuntimeError:  # newer versions of llvmlite have done it already, and say so
            pass
    module = llvm.parse_assembly(step.source)
    host = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
    )
    engine = llvm.create_mcjit_compiler(module, host)
    engine.finalize_object()
    entry = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)(engine.get_function_address("loop"))

    def call(steps: int) -> None:
        buffer = np.full(16, 0.25, np.float32)
        entry(steps, buffer.ctypes.data)

    call.engine = engine  # which owns the code
    return call


def arithmetic(work: float, numbers: str = "fp32") -> Callable | None:
    step = instruction(numbers)
    if step is None:
        return None
    call, threads = compile_loop(step), get_num_threads()
    tasks = threads * max(round(work / (TASK * SPEED[numbers]) / threads), 1)
    steps = max(round(work / tasks / step.operations_of_step), 1)
    return on_threads([lambda: call(steps)] * tasks)


def blas() -> tuple[Callable, float]:
    x, weight = np.ones((1024, 768), np.float32), np.ones((3072, 768), np.float32)
    return lambda: x @ weight.T, 2 * x.size * len(weight)


def memory() -> tuple[Callable, float]:
    """Copying reads a byte and writes one; reading a cache line before it is written is not counted."""
    origin = np.zeros(LONG // 4, np.float32)
    target, parts = np.ones_like(origin), 4 * get_num_threads()
    pairs = zip(np.array_split(target, parts), np.array_split(origin, parts))
    return on_threads([lambda to=to, of=of: np.copyto(to, of) for to, of in pairs]), 2 * origin.nbytes


def on_threads(calls: list[Callable]) -> Callable:
    """One call that makes all of these on a pool of threads."""
    pool = ThreadPoolExecutor(get_num_threads())
    return lambda: [future.result() for future in [pool.submit(call) for call in calls]]


def measure(rounds: int) -> list[list]:
    """Rows of a table: what is done, its rate on one thread and on all, and how many times the first the second is: 2 for
    two cores, 1 for two threads of one core."""
    before, rates = get_num_threads(), {}
    for threads in dict.fromkeys((1, before)):
        set_num_threads(threads)
        works = {numbers: 8 * TASK * speed for numbers, speed in SPEED.items()}
        calls = {f"{numbers} multiply-adds, GOP/s": (arithmetic(work, numbers), work) for numbers, work in works.items()}
        calls |= {"copying, GB/s": memory(), "OpenBLAS float32, GFLOP/s": blas()}
        present = {name: (call, amount) for name, (call, amount) in calls.items() if call is not None}
        times = time_in_turn({name: call for name, (call, _) in present.items()}, rounds)
        rates[threads] = {name: amount / times[name].median / 1e9 for name, (_, amount) in present.items()}
    set_num_threads(before)
    return [[name, one, rates[before][name], rates[before][name] / one] for name, one in rates[1].items()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be 1 or more")
    table = {"columns": ["", "one thread", f"{get_num_threads()} threads", "ratio"], "rows": measure(options.rounds)}
    print(f"{machine()}\n\n{markdown(table['columns'], table['rows'])}")
    write(options.json, document("peaks", get_num_threads(), {"peaks": table}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
