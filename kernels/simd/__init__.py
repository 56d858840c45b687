"""What Python cannot say, written as LLVM IR, for kernels to call. Reading order:

    shapes.py         how wide vectors are here
    emit.py           the words of all others: load, store, splat, fma; and a counter that threads share
    elementwise.py    prefetch, stores past the caches, sums in any order, a maximum
    shuffle.py        transpose a block, interleave rows
    scalar_math.py    exp and the activations for one float, in plain Python
    trace.py          the same for LLVM's vectors
    atomics.py        acquire, release, compare and exchange, wait and wake
    memory.py         bytes and strings, for the tokenizer
"""
