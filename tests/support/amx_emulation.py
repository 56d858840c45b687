"""AMX's tile instructions in plain LLVM IR, as Intel's manual defines them, so that kernels on tiles run on any processor.

    import amx_emulation          before any kernel is imported: from then on this process has tiles

Tiles are memory of the function that uses them. What is compiled here is kept in a folder of this process alone, as it must
not be taken for what the processor's own instructions make: no environment variable names it, because processes that this
one starts would read it too.
"""

import atexit
import shutil
import tempfile
from pathlib import Path

import object_files
import vnni_emulation
from llvmlite import ir

from minibert.kernels.compiler import cpu, object_cache
from minibert.kernels.compiler.toolchain import cgutils
from minibert.kernels.simd import shapes

CACHE = tempfile.mkdtemp(prefix="minibert-amx-")
atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
object_cache.cache_root = lambda: Path(CACHE)
object_files.require_object_files()

shapes.WIDTH, shapes.MR, shapes.UNROLL, shapes.NR = 16, 6, 1, 32  # a processor with tiles has AVX-512
cpu.HAS_AMX = True
if "avx512vnni" not in cpu.FEATURES:  # and AVX-512's VNNI
    vnni_emulation.emulate(16)

from minibert.kernels.gemm import amx, dtypes  # noqa: E402 - they read the shapes
from minibert.kernels.simd.emit import (  # noqa: E402  # fmt: skip
    ADDRESS,
    BYTE,
    FLOAT,
    INT,
    WORD,
    byte_offset,
    emit_fma,
    load_unaligned,
    splat,
    store_unaligned,
)

TILE = 1024
FLOATS, WORDS = ir.VectorType(FLOAT, 16), ir.VectorType(WORD, 16)


class Emulated(amx.TileUnit):
    memory: dict = {}  # of a function -> its eight tiles

    @classmethod
    def tile(cls, builder, index):
        function = builder.function
        if function not in cls.memory:
            with builder.goto_entry_block():
                cls.memory[function] = builder.bitcast(builder.alloca(ir.ArrayType(BYTE, 8 * TILE)), ADDRESS)
        return byte_offset(builder, cls.memory[function], index * TILE)

    @staticmethod
    def configure(builder):
        pass

    @staticmethod
    def release(builder):
        pass

    @classmethod
    def zero(cls, builder, tile):
        with cgutils.for_range(builder, INT(16)) as row:
            store_unaligned(builder, ir.Constant(FLOATS, None), row_of(builder, cls.tile(builder, tile), row.index))

    @classmethod
    def load(cls, builder, tile, address, stride):
        with cgutils.for_range(builder, INT(16)) as row:
            value = load_unaligned(builder, byte_offset(builder, address, builder.mul(row.index, INT(stride))), WORDS)
            store_unaligned(builder, value, row_of(builder, cls.tile(builder, tile), row.index))

    @classmethod
    def store(cls, builder, tile, address):
        with cgutils.for_range(builder, INT(16)) as row:
            value = load_unaligned(builder, row_of(builder, cls.tile(builder, tile), row.index), WORDS)
            store_unaligned(builder, value, row_of(builder, address, row.index))

    @classmethod
    def multiply(cls, builder, instruction, sums, x, weights):
        {"tdpbf16ps": cls.multiply_bf16, "tdpbusd": cls.multiply_int8}[instruction](builder, sums, x, weights)

    @classmethod
    def multiply_int8(cls, builder, sums, x, weights):
        """Four products of unsigned x and signed weights for each word."""
        wide = ir.VectorType(WORD, 64)
        with cgutils.for_range(builder, INT(16)) as row:
            target = row_of(builder, cls.tile(builder, sums), row.index)
            total = load_unaligned(builder, target, WORDS)
            for quad in range(16):
                word = byte_offset(builder, row_of(builder, cls.tile(builder, x), row.index), 4 * quad)
                a = builder.bitcast(splat(builder, load_unaligned(builder, word, WORD), 16), ir.VectorType(BYTE, 64))
                b = load_unaligned(builder, row_of(builder, cls.tile(builder, weights), INT(quad)), ir.VectorType(BYTE, 64))
                products = builder.mul(builder.zext(a, wide), builder.sext(b, wide))
                total = builder.add(total, dtypes.add_lane_quads(builder, products))
            store_unaligned(builder, total, target)

    @classmethod
    def multiply_bf16(cls, builder, sums, x, weights):
        """Even and odd k are chains of fused multiply-adds; both results are added, and added to the sums. What is below 2^-126
        is 0, before and after each."""
        with cgutils.for_range(builder, INT(16)) as row:
            even = odd = ir.Constant(FLOATS, None)
            for pair in range(16):
                word = byte_offset(builder, row_of(builder, cls.tile(builder, x), row.index), 4 * pair)
                a = splat(builder, load_unaligned(builder, word, WORD), 16)
                b = load_unaligned(builder, row_of(builder, cls.tile(builder, weights), INT(pair)), WORDS)
                even = flush(builder, emit_fma(builder, *(flush(builder, lower(builder, value)) for value in (a, b)), even))
                odd = flush(builder, emit_fma(builder, *(flush(builder, upper(builder, value)) for value in (a, b)), odd))
            target = row_of(builder, cls.tile(builder, sums), row.index)
            products = flush(builder, builder.fadd(even, odd))
            total = builder.fadd(flush(builder, load_unaligned(builder, target, FLOATS)), products)
            store_unaligned(builder, flush(builder, total), target)


def row_of(builder, tile, row):
    return byte_offset(builder, tile, builder.mul(row, INT(64)))


def flush(builder, x):
    """0 for what is below 2^-126, with its sign."""
    magnitude = builder.and_(builder.bitcast(x, WORDS), ir.Constant(WORDS, [0x7FFFFFFF] * 16))
    sign = builder.and_(builder.bitcast(x, WORDS), ir.Constant(WORDS, [0x80000000] * 16))
    small = builder.icmp_unsigned("<", magnitude, ir.Constant(WORDS, [0x00800000] * 16))
    return builder.select(small, builder.bitcast(sign, FLOATS), x)


def lower(builder, words):
    return builder.bitcast(builder.shl(words, ir.Constant(WORDS, [16] * 16)), FLOATS)


def upper(builder, words):
    return builder.bitcast(builder.and_(words, ir.Constant(WORDS, [0xFFFF0000] * 16)), FLOATS)


amx.UNIT = Emulated
