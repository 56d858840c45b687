"""Encoder, heads and what model classes share; the classes of each family are in `minibert/families/`.

Reading order: packing, checkpoint, encoder, heads, outputs, base, classification, language_modeling. Then
quantized (int8 checkpoints), passes and precompile (compiled kernels).
"""
