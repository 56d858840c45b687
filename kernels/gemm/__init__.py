"""Products at the machine's speed, in BLIS's words. Reading order:

    shapes.py         how much is summed up before it is added to a total
    gemm.py           the loops around the register tile, what threads share, packing of x
    microkernel.py    the register tile, in LLVM IR
    dtypes.py         what differs between float32, bf16 and int8
    int8_isa.py       which instructions this processor has for int8        <- where int8's dot product is chosen
    int8_layout.py    how 8-bit weights lie in memory and on disk
    quantize_rows.py  rows of x, rotated and rounded to 8 bits, in LLVM IR
"""
