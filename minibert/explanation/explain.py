"""`explain(pipe, text)`: the computation, in the order in which the page shows it. Next: `result.py`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError, short_repr, strict_arguments
from ..models.intermediates import Step, float_model, location
from ..models.quantized import is_quantized
from ..pipelines.base import Pipeline, as_text
from ..pipelines.sentence_encoder import SentenceEncoder
from . import changes, gradients
from .contributions import contributions
from .norms import block_norms, hidden_states, mean_attention
from .readout import Readout
from .result import Explanation
from .similarity import explain_similarity
from .targets import Example, read_example
from .words import normalized, subword_of, words_of


@strict_arguments
def explain(pipe: Any, inputs: Any, *, beside: str | None = None, replacements: Sequence[str] | None = None) -> Explanation:
    """A pipeline and one input, as the pipeline takes it -> an Explanation.

    `inputs` is a text; a pair (text, text_pair); {"question", "context"} for question answering; for a SentenceEncoder two
    texts, whose similarity is explained. `beside` is a second text: the first is padded as in a batch of both, and its logits
    with and without the attention mask are compared. `replacements` are the words of the "change a word" table, in place of
    those with the nearest embeddings. Weights of 8 bits are read as floats.
    """
    if not isinstance(pipe, (Pipeline, SentenceEncoder)):
        raise InputTypeError(f"pipe must be a pipeline or a SentenceEncoder of minibert; got {type(pipe).__name__}.")
    replacements = None if replacements is None else read_replacements(replacements)
    if beside is not None and not isinstance(beside, str):
        raise InputTypeError(f"beside must be a text; got {short_repr(beside)}.")
    if is_quantized(pipe.model.config):
        pipe = copy.copy(pipe)
        pipe.model = float_model(pipe.model, "auto")
    if isinstance(pipe, SentenceEncoder):
        if beside is not None or replacements is not None:
            raise InputError("a similarity is explained of two texts alone; leave beside and replacements out.")
        return explain_similarity(pipe, inputs)
    example = read_example(pipe, inputs)
    return Work(pipe, example).run(beside, replacements)


def read_replacements(values: Any) -> list[str]:
    words = [values] if isinstance(values, str) else values
    if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
        raise InputTypeError(f"replacements must be a list of words; got {short_repr(values)}.")
    return list(words)


class Work:
    """One text being explained."""

    def __init__(self, pipe: Pipeline, example: Example) -> None:
        self.pipe, self.example, self.model, self.tokenizer = pipe, example, pipe.model, pipe.tokenizer
        self.readout = Readout(pipe.model)
        self.words = words_of(example.encoding, example.texts, pipe.tokenizer)
        self.arrays: dict[str, Step] = dict(pipe.model.intermediates(**example.inputs))
        self.notes: dict[str, str] = {}

    def add(self, name: str, array: np.ndarray, function: Callable) -> None:
        self.arrays[name] = Step(name, array, location(function))

    def run(self, beside: str | None, replacements: list[str] | None) -> Explanation:
        self.add_layers()
        parts = self.add_contributions()
        self.add_gradients()
        changed = self.add_changes(replacements)
        encodings, texts = [self.example.encoding], self.example.texts
        if beside is not None:
            encodings.append(self.add_padding(beside))
            texts = (*texts, beside)
        return Explanation(
            task=self.pipe.task,
            model=repr(self.model),
            answer=self.example.answer,
            subword=subword_of(self.tokenizer),
            texts=texts,
            normalized=tuple(normalized(text, self.tokenizer) for text in texts),
            tokens=[list(encoding.tokens) for encoding in encodings],
            words=[self.words, *(words_of(encoding, (texts[-1],), self.tokenizer) for encoding in encodings[1:])],
            targets=self.example.targets,
            parts=parts,
            changes=[(change.word, change.replacement) for change in changed],
            arrays=self.arrays,
            notes=self.notes,
        )

    def add_layers(self) -> None:
        """The inputs; what the head says after each layer; how long what each block adds is."""
        for name, values in self.example.inputs.items():
            self.add(name, values, type(self.tokenizer).__call__)
        hidden, targets = hidden_states(self.arrays, self.model.architecture.layers), self.example.targets
        logits, scores = self.readout.targets(hidden, targets, [[target.row for target in targets]] * len(hidden))
        self.add("layer_logits", logits, Readout.targets)
        self.add("layer_scores", scores, Readout.targets)
        self.add("targets.logits", logits[-1], Readout.targets)
        self.add("targets.scores", scores[-1], Readout.targets)
        layers = self.model.architecture.layers
        self.add("norms", block_norms(self.arrays, layers), block_norms)
        attention = mean_attention(self.arrays, layers)
        self.add("attention", attention[[target.row for target in targets]], mean_attention)

    def add_contributions(self) -> list[str]:
        of_targets = [contributions(self.model, self.arrays, target) for target in self.example.targets]
        values = np.stack([shares.values for shares in of_targets])
        self.add("contributions", values, contributions)
        self.add("contributions.heads", np.stack([shares.head_tokens for shares in of_targets]), contributions)
        self.add("contributions.error", values.sum(axis=1) - self.arrays["targets.logits"].array, contributions)
        return of_targets[0].names

    def add_gradients(self) -> None:
        packed = self.model.pack(**self.example.inputs)
        padding = self.tokenizer.pad_token_id
        if padding is None or padding >= self.model.architecture.vocabulary:
            self.notes["integrated_gradients"] = "the tokenizer has no padding token, whose embedding is the baseline"
            return
        kept = {self.tokenizer.cls_token_id, self.tokenizer.sep_token_id, self.tokenizer.mask_token_id}
        baseline = np.array([token if token in kept else padding for token in packed.token_ids.tolist()])
        result = gradients.integrated_gradients(self.model, self.readout, packed, baseline, self.example.targets)
        function = gradients.integrated_gradients
        self.add("integrated_gradients", result.values, function)
        self.add("integrated_gradients.error", result.error, function)
        self.add("integrated_gradients.baseline", result.baseline_logits, function)
        self.add("integrated_gradients.steps", np.array(result.steps), function)

    def add_changes(self, replacements: list[str] | None) -> list[changes.Change]:
        """Leave each word out; change some."""
        logits, targets = self.arrays["targets.logits"].array, self.example.targets
        left_out = [changes.Variant(word.first, word.last) for word in self.words]
        without, _ = self.outcomes(left_out)
        self.add("leave_one_out", (logits - without).T, changes.outcomes)
        table = self.model.tensors[f"{self.model.encoder_names.words}.weight"]
        effect = np.abs(np.nan_to_num(logits - without)).max(axis=1, initial=0)
        proposed = changes.proposed_changes(self.tokenizer, table, self.words, effect, replacements)
        _, scores = self.outcomes([change.variant for change in proposed])
        self.add("changes", scores.reshape(-1, len(targets)), changes.outcomes)
        return proposed

    def outcomes(self, variants: list[changes.Variant]) -> tuple[np.ndarray, np.ndarray]:
        return changes.outcomes(self.model, self.readout, self.example.inputs, self.example.targets, variants)

    def add_padding(self, beside: str) -> Any:
        """The same text padded beside a longer or shorter one: its targets with the attention mask, and without it."""
        if len(self.example.texts) > 1:
            raise InputError("a text is shown beside another if it stands alone; got a pair. Leave beside out.")
        batch: Any = self.pipe.encode([self.example.texts[0], as_text(beside)], return_offsets_mapping=True)
        inputs = {name: batch[name] for name in ("input_ids", "token_type_ids", "attention_mask") if name in batch}
        self.add("beside.input_ids", inputs["input_ids"], type(self.tokenizer).__call__)
        self.add("beside.attention_mask", inputs["attention_mask"], type(self.tokenizer).__call__)
        targets, rows = self.example.targets, [[target.row for target in self.example.targets]]
        start = int(inputs["attention_mask"][0].argmax())  # of a tokenizer that pads on the left
        for name, mask in (("with_mask", inputs["attention_mask"]), ("without_mask", np.ones_like(inputs["attention_mask"]))):
            packed = self.model.pack(**{**inputs, "attention_mask": mask})
            hidden = packed.unpack(self.model.encode(packed))[0, start:]
            length = int(inputs["attention_mask"][0].sum())
            logits, scores = self.readout.targets([hidden[:length]], targets, rows)
            self.add(f"beside.logits.{name}", logits[0], Readout.targets)
            self.add(f"beside.scores.{name}", scores[0], Readout.targets)
        return batch[1]
