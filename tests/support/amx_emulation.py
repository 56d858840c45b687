"""AMX's tile instructions on a processor that has none (x86-64, Linux): kernels are compiled to the machine code that an AMX
processor would run, each tile instruction raises SIGILL, and the handler does what Intel's manual says (Architectures Software
Developer's Manual, volume 2: the instructions' own pages, and "VEX Prefix" for how they are written).

    import amx_emulation          before any kernel is imported: from then on this process has tiles

What the processor refuses the handler refuses too: a thread whose tiles are not configured, or another instruction than these,
ends the process. Where the processor has tiles nothing traps: kernels run as they are.

What is compiled here is kept in a folder of this process alone, as others must not run it: no environment variable names it,
because processes that this one starts would read it too.
"""

import atexit
import ctypes
import shutil
import signal
import tempfile
from pathlib import Path

import numpy as np
import object_files
import vnni_emulation
from numba import carray, cfunc, njit, types
from numba.extending import intrinsic

from minibert.kernels.compiler import cpu, object_cache
from minibert.kernels.simd import shapes

ADDRESS, WORDS_OF_CONTEXT = types.int64, 64

# --- what a signal handler is given: glibc's sys/ucontext.h and bits/sigaction.h ---

REGISTERS, RIP = 5, 16  # words of a ucontext before the registers; the instruction pointer's place in them
R8, RDI, RSI, RBP, RBX, RDX, RAX, RCX, RSP = 0, 8, 9, 10, 11, 12, 13, 14, 15
PLACES = np.array([RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, *range(R8, R8 + 8)])  # of the registers, as instructions number them
SA_SIGINFO = 4


class SignalAction(ctypes.Structure):
    _fields_ = [
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ubyte * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    ]


# --- a thread's tiles, in memory ---

TILES, TILE, MAX_THREADS = 8, 1024, 64
CONFIGURED, CONTENT = 8, 64  # bytes: after the thread's number, whether it has tiles; the tiles
FACTORS = CONTENT + TILES * TILE  # two tiles of bf16 as float64, four times their size each
CHAINS = FACTORS + 2 * 4 * TILE
OF_THREAD = CHAINS + 2 * 64
MEMORY = ctypes.create_string_buffer(MAX_THREADS * OF_THREAD)
THREADS = ctypes.addressof(MEMORY)
CONFIGURATION = np.array([1, *[0] * 15, *[64, 0] * 8, *[0] * 16, *[16] * 8, *[0] * 8], np.uint8)  # the only one in use

pthread_self = types.ExternalFunction("pthread_self", ADDRESS())
reset_signal = types.ExternalFunction("signal", ADDRESS(types.intc, ADDRESS))


@intrinsic
def pointer(typing, address):
    def emit(context, builder, signature, values):
        return builder.inttoptr(values[0], context.get_value_type(types.voidptr))

    return types.voidptr(ADDRESS), emit


@intrinsic
def claim(typing, address, thread):
    """Write the thread's number where there is none; -> the number that was there."""

    def emit(context, builder, signature, values):
        place = builder.inttoptr(values[0], values[1].type.as_pointer())
        return builder.extract_value(builder.cmpxchg(place, values[1].type(0), values[1], "seq_cst"), 0)

    return ADDRESS(ADDRESS, ADDRESS), emit


@njit
def memory_of_thread():
    """Its address; 0 if there are too many threads."""
    thread = pthread_self()
    for n in range(MAX_THREADS):
        memory = THREADS + n * OF_THREAD
        owner = claim(memory, thread)
        if owner == 0 or owner == thread:
            return memory
    return 0


# --- what the instructions do ---

LEAST = np.float32(2.0**-126)


@njit
def flush(x):
    """0 for what is below 2^-126, with its sign."""
    return x * np.float32(0) if abs(x) < LEAST else x


@njit
def expand_bf16(tile, chains, factors):
    """A tile's pairs of bf16 -> their values, (16, 2, 16): row, half of a pair, pair."""
    words, bits = carray(pointer(tile), (16, 16), np.uint32), carray(pointer(chains), (2, 16), np.uint32)
    values = carray(pointer(chains), (2, 16), np.float32)
    for row in range(16):
        for pair in range(16):
            bits[0, pair], bits[1, pair] = words[row, pair] << np.uint32(16), words[row, pair] & np.uint32(0xFFFF0000)
        for half in range(2):
            for pair in range(16):
                factors[row, half, pair] = flush(values[half, pair])


@njit
def tdpbf16ps(sums, x, weights, memory):
    """Even and odd k are chains of fused multiply-adds; both results are added, and added to the sums. What is below 2^-126 is 0,
    before and after each.

    float64 holds a product of two bf16. Its sum with a float32 is rounded twice, which gives what rounding once does: 53 bits
    are at least 2 · 24 + 2 (Figueroa, "When is double rounding innocuous?", 1995)."""
    total = carray(pointer(sums), (16, 16), np.float32)
    a = carray(pointer(memory + FACTORS), (16, 2, 16), np.float64)
    b = carray(pointer(memory + FACTORS + 4 * TILE), (16, 2, 16), np.float64)
    expand_bf16(x, memory + CHAINS, a)
    expand_bf16(weights, memory + CHAINS, b)
    chains = carray(pointer(memory + CHAINS), (2, 16), np.float32)
    for row in range(16):
        chains[:] = 0
        for pair in range(16):
            for half in range(2):
                for output in range(16):
                    exact = a[row, half, pair] * b[pair, half, output] + np.float64(chains[half, output])
                    chains[half, output] = flush(np.float32(exact))
        for output in range(16):
            total[row, output] = flush(flush(total[row, output]) + flush(chains[0, output] + chains[1, output]))


@njit
def tdpbusd(sums, x, weights):
    """Four products of unsigned x and signed weights for each sum."""
    total = carray(pointer(sums), (16, 16), np.int32)
    a, b = carray(pointer(x), (16, 64), np.uint8), carray(pointer(weights), (16, 16, 4), np.int8)
    for row in range(16):
        for k in range(64):
            factor = np.int32(a[row, k])
            for output in range(16):
                total[row, output] += factor * np.int32(b[k // 4, output, k % 4])


@njit
def copy_rows(source, source_stride, target, target_stride):
    for row in range(16):
        bytes_of_row = carray(pointer(source + row * source_stride), 64, np.uint8)
        carray(pointer(target + row * target_stride), 64, np.uint8)[:] = bytes_of_row


@njit
def is_configuration(address):
    content = carray(pointer(address), 64, np.uint8)
    return (content == CONFIGURATION).all()


# --- how they are written: C4, two bytes of prefix, opcode, ModRM, perhaps SIB and displacement ---

MAP_0F38, NO_PREFIX, P66, F3, F2 = 2, 0, 1, 2, 3


@njit
def memory_operand(registers, code):
    """-> (address of the first row, bytes from one row to the next, the instruction's length)."""
    mode, base, length = code[4] >> 6, code[4] & 7, 5
    if base == 5 and mode == 0:  # relative to the next instruction
        return registers[RIP] + 9 + carray(pointer(registers[RIP] + 5), 1, np.int32)[0], 0, 9
    stride = 0
    if base == 4:
        index, base, length = code[5] >> 3 & 7 | (~code[1] >> 6 & 1) << 3, code[5] & 7, 6
        if index != 4:
            stride = registers[PLACES[index]] << (code[5] >> 6)
    address = registers[PLACES[base | (~code[1] >> 5 & 1) << 3]]
    if mode == 1:
        return address + np.int8(code[length]), stride, length + 1
    if mode == 2:
        return address + carray(pointer(registers[RIP] + length), 1, np.int32)[0], stride, length + 4
    return address, stride, length


@njit
def execute(registers, memory):
    """Do what the instruction says -> its length; 0 if the processor would refuse it, or no kernel should have it."""
    code = carray(pointer(registers[RIP]), 16, np.uint8)
    if code[0] != 0xC4 or code[1] & 31 != MAP_0F38:
        return 0
    prefix, opcode, in_registers = code[2] & 3, code[3], code[4] >> 6 == 3
    address, stride, length = (0, 0, 5) if in_registers else memory_operand(registers, code)
    tiles, configured = memory + CONTENT, carray(pointer(memory + CONFIGURED), 1, np.int64)
    first, second, third = tiles + TILE * (code[4] >> 3 & 7), tiles + TILE * (code[4] & 7), tiles + TILE * (~code[2] >> 3 & 7)
    if opcode == 0x49 and prefix == NO_PREFIX and not in_registers and is_configuration(address + stride):  # ldtilecfg
        configured[0] = True
    elif opcode == 0x49 and prefix == NO_PREFIX and in_registers:  # tilerelease
        configured[0] = False
    elif not configured[0]:
        return 0
    elif opcode == 0x49 and prefix == F2 and in_registers:  # tilezero
        carray(pointer(first), TILE, np.uint8)[:] = 0
    elif opcode == 0x4B and prefix == F2 and not in_registers:  # tileloadd
        copy_rows(address, stride, first, 64)
    elif opcode == 0x4B and prefix == F3 and not in_registers:  # tilestored
        copy_rows(first, 64, address, stride)
    elif not in_registers or len({first, second, third}) < 3:
        return 0
    elif opcode == 0x5C and prefix == F3:
        tdpbf16ps(first, second, third, memory)
    elif opcode == 0x5E and prefix == P66:
        tdpbusd(first, second, third)
    else:
        return 0
    return length


@cfunc(types.void(types.intc, types.voidptr, types.voidptr))
def on_illegal_instruction(number, information, context):
    registers, memory = carray(context, WORDS_OF_CONTEXT, np.int64)[REGISTERS:], memory_of_thread()
    length = execute(registers, memory) if memory != 0 else 0
    if length == 0:
        reset_signal(number, 0)  # the instruction is tried again, and ends the process
    while length != 0:  # and those that follow at once, as a trap takes longer than what an instruction does
        registers[RIP] += length
        length = execute(registers, memory)


def handle_illegal_instructions():
    action = SignalAction(handler=on_illegal_instruction.address, flags=SA_SIGINFO)
    assert ctypes.CDLL(None).sigaction(int(signal.SIGILL), ctypes.byref(action), None) == 0


def pytest_sessionstart():
    """As a plugin, after pytest has had `faulthandler` handle them."""
    handle_illegal_instructions()


# --- a processor with tiles ---

CACHE = tempfile.mkdtemp(prefix="minibert-amx-")
atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
object_cache.cache_root = lambda: Path(CACHE)
object_files.require_object_files()

cpu.FEATURES |= cpu.AMX_TILES
cpu.HAS_AMX = True
shapes.WIDTH, shapes.MR, shapes.UNROLL, shapes.NR = 16, 6, 1, 32  # it has AVX-512
if "avx512vnni" not in cpu.FEATURES:  # and AVX-512's VNNI
    vnni_emulation.emulate(16)
handle_illegal_instructions()
