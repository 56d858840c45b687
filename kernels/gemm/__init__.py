"""Matrix products at the machine's speed, in BLIS's terms. Reading order:

    shapes.py         K_ACCUMULATE: how many products are summed before they are added to a total
    gemm.py           the loops around the microkernel, packing of x, tasks for threads
    microkernel.py    the register tile, in LLVM IR
    amx.py            the same on AMX's tiles, which multiply 16 rows by 16 outputs in an instruction
    amx_f32.py        float32 there: panels are split into bf16 parts while tiles multiply
    amx_epilogue.py   a block's epilogue, applied while the tiles multiply the next block
    packing.py        panels and transposes on threads, for operands that are new in every step of training
    dtypes.py         what differs between float32, bf16 and int8
    int8_isa.py       which instructions this processor has for int8        <- where int8's dot product is chosen
    int8_layout.py    the layout of 8-bit weights in memory and in checkpoints
    quantize_rows.py  rotates rows of x and rounds them to 8 bits, in LLVM IR
    split_floats.py   float32 as three bf16, for tiles

Terms:

    M, N, K           x (M, K), weight (N, K) -> y (M, N)
    tile              MR rows × NR outputs of y, whose sums are in registers
    step              what a tile multiplies at once: 1 value of k in float32, 2 in bf16, 4 in int8; 4 bytes of weights
    panel             NR outputs' weights, packed so that a step reads one row of it
    KC, MC, NC        how much of k, of the rows and of the outputs a task works on between two passes over memory
    epilogue          what is done to a tile's sums before they are stored: scales, bias, residual, activation
"""
