"""Sentence embeddings as a task of the command line: text -> one vector. The library's class is SentenceEncoder."""

from __future__ import annotations

from typing import Any

from .sentence_encoder import SentenceEncoder
from .task import Option, Task


class SentenceEmbeddings(Task):
    """A SentenceEncoder, and the text that precedes each text it embeds."""

    task = "sentence-embeddings"
    command_options = (Option("prompt", "a text that precedes each text to embed", parameter="prompt"),)
    answer_columns = ("vector",)

    def __init__(self, encoder: SentenceEncoder, prompt: str | None = None) -> None:
        self.encoder, self.prompt, self.model = encoder, prompt, encoder.model

    @classmethod
    def from_pretrained(cls, name: str, *, prompt: str | None = None, **options: Any) -> SentenceEmbeddings:
        return cls(SentenceEncoder.from_pretrained(name, **options), prompt)

    def answered(self, **options: Any) -> Any:
        return self.encoder.answered(prompt=self.prompt, **options)

    def to_columns(self, answer: Any) -> dict[str, Any]:
        return {"vector": answer.tolist()}
