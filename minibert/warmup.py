"""`warm_up()`: compile the kernels before the first call, when an image is built or before a service takes requests."""

from __future__ import annotations

from typing import Any

from .auto import AutoTokenizer
from .errors import strict_arguments
from .models.precompile import compile_for_all_sizes
from .models.tiny import TinyClassifier, TinyConfig


@strict_arguments
def warm_up(kernels: Any = "auto") -> None:
    """Compile the kernels of a model with this preset or mapping, and the tokenizer's; those in the cache are loaded. "auto"
    means int8 for an int8 checkpoint, such as the bundled one, so it compiles these too.

    A compiled kernel serves models of every size, so this runs a tiny one.
    """
    for preset in ("auto", "int8") if isinstance(kernels, str) and kernels == "auto" else (kernels,):
        compile_for_all_sizes(preset)
        model = TinyClassifier(TinyConfig(), kernels=preset, seed=0)
        model([[1, 2, 3], [4, 5, 0]], attention_mask=[[1, 1, 1], [1, 1, 0]])
    AutoTokenizer.from_pretrained("minibert-sst2").encode_packed(["two", "texts"])
