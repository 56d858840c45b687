"""vpdpbusd as Intel's manual defines it, in plain LLVM IR, so that kernels that use it run on any processor.

vnni_emulation.emulate(16)     before the kernels of int8 are imported; 16 outputs a vector as AVX-512, or 8 as AVX-VNNI
"""

from llvmlite import ir

from minibert.kernels.gemm import int8_isa


def emulate(outputs):
    int8_isa.INT8_ISA = int8_isa.DotProductISA("vnni", outputs, 6, "uint8")
    from minibert.kernels.gemm import dtypes  # which reads it

    def dot(builder, sums, x, weights):
        wide = ir.VectorType(dtypes.WORD, weights.type.count)
        x = builder.bitcast(dtypes.splat(builder, x, sums.type.count), weights.type)
        products = builder.mul(builder.zext(x, wide), builder.sext(weights, wide))
        return builder.add(sums, dtypes.add_lane_quads(builder, products))

    dtypes.INT8_EMITTERS["vnni"] = (dot, *dtypes.INT8_EMITTERS["vnni"][1:])
