"""Operations that Python cannot express, emitted as LLVM IR for kernels to call.

Reading order:

    shapes.py         the width of a vector, and the register tile
    emit.py           load, store, splat, fma, prefetch; fetch_add on a counter that threads share
    elementwise.py    prefetch, copy and scale a row, non-temporal stores, reassociable sums, clamps, maximum
    bf16.py           round to bf16: vectors, a row, two rows side by side
    shuffle.py        transpose a block, interleave rows; see flat memory as rows
    scalar_math.py    exp and the activations for one float, in plain Python
    trace.py          the same functions on LLVM vectors
    lanes.py          a softmax in each lane, and a factor
    row_softmax.py    a softmax of each row, whose weights become bf16
    atomics.py        acquire, release, compare-exchange, futex
    memory.py         bytes and strings, for the tokenizer
"""
