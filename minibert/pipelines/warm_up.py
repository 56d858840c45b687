"""Compile the kernels ahead of the first call: when an image is built, or before a service takes requests."""

from __future__ import annotations

from ..auto import AutoTokenizer
from ..errors import strict_arguments
from ..models.tiny import TinyClassifier, TinyConfig


@strict_arguments
def warm_up(kernels="auto") -> None:
    """Compile what a model with these kernels calls, and the tokenizer's kernel; what is kept already costs nothing.

    A compiled kernel serves models of every size: a tiny one is run here.
    """
    model = TinyClassifier(TinyConfig(), kernels=kernels, seed=0)
    model([[1, 2, 3], [4, 5, 0]], attention_mask=[[1, 1, 1], [1, 1, 0]])
    AutoTokenizer.from_pretrained("minibert-sst2").encode_packed(["two", "texts"])
