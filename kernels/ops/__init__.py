"""The ladders: each operation's variants, the plain loops first, one idea more from one to the next.

    linear_naive.py       naive, tiled, tiled_4x4, packed, ...         linear_f32.py, linear_bf16.py, linear_int8.py, linear_amx.py   the top rungs
    attention_naive.py    naive, transposed, online, lanes            attention_f32.py, attention_bf16.py, attention_amx.py   the top rungs
    window_attention.py   global_attention.py         naive, register: for long texts
    softmax.py  layer_norm.py  activations.py  embed.py       naive, vector
    epilogues.py      a product with what follows it          quantization.py   int8 in NumPy: the formulas

    For training:
    linear_grad.py  layer_norm_grad.py  softmax_grad.py  activation_grads.py  take_grad.py       naive, and the top rung
    attention_grad.py  attention_training.py      naive; the top rung, and attention with dropout
    dropout.py  squared_sums.py  adamw.py         naive, vector

The formulas are in `../reference.py`, `../composed.py` and `../sparse_attention.py`. The machinery of the top rungs is in `../gemm/`.
"""

LADDERS = (  # in the order in which tables show them; a file that is not here comes after these
    "linear_naive",
    "linear_f32",
    "linear_int8",
    "linear_bf16",
    "linear_amx",
    "softmax",
    "attention_naive",
    "attention_f32",
    "attention_bf16",
    "attention_amx",
    "window_attention",
    "global_attention",
    "layer_norm",
    "activations",
    "embed",
    "linear_grad",
    "layer_norm_grad",
    "softmax_grad",
    "activation_grads",
    "take_grad",
    "dropout",
    "attention_grad",
    "attention_training",
    "squared_sums",
    "adamw",
)
