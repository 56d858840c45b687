"""Sentence embeddings as a task of the command line: text -> one vector. The library's class is SentenceEncoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from .embedding_precision import NEED_RANGES, PRECISIONS, check_precision, quantize, read_ranges_file
from .sentence_encoder import SentenceEncoder
from .task import Option, Task


class SentenceEmbeddings(Task):
    """A SentenceEncoder and the options of its `answered`.

    The precisions int8 and uint8 need `ranges`, a .npy file (2, D): each component's least and greatest value. Rows are
    answered one by one, so these cannot come from the rows themselves.
    """

    task = "sentence-embeddings"
    command_options = (
        Option("prompt", "a text that precedes each text to embed", parameter="prompt"),
        Option("prompt_name", "the name of one of the model's prompts", metavar="NAME", parameter="prompt_name"),
        Option("truncate_dim", "the first N components of each vector", int, "N", parameter="truncate_dim"),
        Option(
            "precision",
            f"{', '.join(PRECISIONS)}: the numbers of a vector",
            metavar="NAME",
            parameter="precision",
            choices=tuple(PRECISIONS),
        ),
        Option("ranges", "a .npy file (2, D) of each component's least and greatest value", Path, "FILE", parameter="ranges"),
    )

    def __init__(
        self, encoder: SentenceEncoder, options: Mapping[str, Any], precision: str = "float32", ranges: str | None = None
    ) -> None:
        self.encoder, self.model, self.options, self.precision = encoder, encoder.model, options, precision
        width = min(encoder.width, options.get("truncate_dim") or encoder.dimension)
        self.ranges = None if ranges is None else read_ranges_file(ranges, width)

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        truncate_dim: int | None = None,
        precision: str = "float32",
        ranges: str | None = None,
        **where: Any,
    ) -> SentenceEmbeddings:
        if prompt is not None and prompt_name is not None:
            raise InputError("sentence-embeddings takes one of --prompt and --prompt-name; got both. Leave one out.")
        check_quantization(precision, ranges)  # before anything is downloaded
        options = {"prompt": prompt, "prompt_name": prompt_name, "truncate_dim": truncate_dim}
        return cls(SentenceEncoder.from_pretrained(name, **where), options, precision, ranges)

    def answered(self, **options: Any) -> Any:
        return self.encoder.answered(**self.options, **options)

    @property
    def answer_types(self) -> dict[str, Any]:
        return {"vector": [float if self.precision == "float32" else int]}

    def to_columns(self, answer: Any) -> dict[str, Any]:
        return {"vector": quantize(answer, self.precision, self.ranges).tolist()}


def check_quantization(precision: str, ranges: str | None) -> None:
    """InputError for a precision that there is not, one that lacks ranges, and one that has no use for them."""
    check_precision(precision)
    if precision in NEED_RANGES and ranges is None:
        raise InputError(
            f"{precision} needs each component's least and greatest value, which no row can tell alone. Pass --ranges FILE, or "
            "take --precision binary or ubinary, which need none."
        )
    if precision not in NEED_RANGES and ranges is not None:
        raise InputError(f"--ranges is for {' and '.join(NEED_RANGES)}; the precision is {precision}. Leave it out.")
