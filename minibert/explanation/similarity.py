"""Two texts' similarity as a sum over pairs of tokens, one of each text.

If a text's vector is the mean of its hidden states h, the cosine of two texts is Σᵢⱼ hᵢ · gⱼ / (n m ‖h̄‖ ‖ḡ‖): each pair of
tokens has a share, and the shares add up to the cosine.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError
from ..models.intermediates import Step, location
from ..pipelines.sentence_encoder import SentenceEncoder
from .changes import Variant, padded
from .norms import block_norms, mean_attention
from .result import Explanation
from .words import Word, normalized, subword_of, words_of


def explain_similarity(encoder: SentenceEncoder, inputs: Any) -> Explanation:
    """An encoder and two texts -> the explanation of the cosine of their vectors."""
    is_pair = isinstance(inputs, (tuple, list)) and len(inputs) == 2 and all(isinstance(text, str) for text in inputs)
    if not is_pair:
        raise InputTypeError("to explain a similarity, pass two texts, ('one', 'another').")
    check_mean(encoder)
    texts, model, tokenizer = (inputs[0], inputs[1]), encoder.model, encoder.tokenizer
    batch: Any = encoder.tokenize(list(texts))
    arrays = {name: batch[name] for name in ("input_ids", "token_type_ids", "attention_mask") if name in batch}
    steps: dict[str, Step] = dict(model.intermediates(**arrays))
    layers, rows = model.architecture.layers, [mask.astype(bool) for mask in arrays["attention_mask"]]
    last = steps[f"layer.{layers - 1}.output_norm"].array
    matches = token_matches(*(hidden[row] for hidden, row in zip(last, rows)))
    words = [words_of(batch[index], (texts[index],), tokenizer) for index in range(2)]
    own = [{name: array[index : index + 1, row] for name, array in arrays.items()} for index, row in enumerate(rows)]
    vectors = [hidden[row].mean(axis=0) for hidden, row in zip(last, rows)]
    computed: dict[str, tuple[Any, Any]] = {
        **{name: (array, type(tokenizer).__call__) for name, array in arrays.items()},
        "norms": (block_norms(steps, layers), block_norms),
        "attention.all": (mean_attention(steps, layers), mean_attention),
        "matches": (matches, token_matches),
        "similarity": (np.array(matches.sum()), token_matches),
        **{
            f"leave_one_out.{index}": (without_words(encoder, own[index], words[index], vectors, index), without_words)
            for index in range(2)
        },
    }
    return Explanation(
        task="similarity",
        model=repr(model),
        answer=f"similarity {matches.sum():.3f}",
        subword=subword_of(tokenizer),
        texts=texts,
        normalized=tuple(normalized(text.lower() if encoder.sentence_config.lower else text, tokenizer) for text in texts),
        tokens=[list(batch[index].tokens) for index in range(2)],
        words=words,
        targets=[],
        parts=[],
        changes=[],
        arrays={**steps, **{name: Step(name, array, location(function)) for name, (array, function) in computed.items()}},
    )


def token_matches(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Hidden states (n, D) and (m, D) -> each pair's share of the cosine of the two means (n, m)."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    scale = len(first) * len(second) * np.linalg.norm(first.mean(axis=0)) * np.linalg.norm(second.mean(axis=0))
    return first @ second.T / scale


def without_words(
    encoder: SentenceEncoder, inputs: dict[str, np.ndarray], words: list[Word], vectors: list[np.ndarray], index: int
) -> np.ndarray:
    """One of two texts, its words and both vectors -> the similarity less that without each word (W,)."""
    if not words:
        return np.zeros(0)
    model = encoder.model
    packed = model.pack(**padded(model, inputs, [Variant(word.first, word.last) for word in words]))
    means = [hidden.mean(axis=0) for hidden in np.split(model.encode(packed), packed.bounds[1:-1])]
    other = vectors[1 - index]
    return cosine(vectors[index], other) - np.array([cosine(vector, other) for vector in means])


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one.astype(np.float64) @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def check_mean(encoder: SentenceEncoder) -> None:
    """InputError if an encoder's vectors are not means, whose similarity is no such sum."""
    poolings, dense = encoder.sentence_config.poolings, encoder.sentence_config.dense
    if poolings != ("mean",) or dense:
        steps = " and ".join(poolings) + ", then a Dense step" * bool(dense)
        raise InputError(
            "a similarity is explained as a sum over pairs of tokens, so vectors must be the means of hidden states; this "
            f"encoder's are {steps}."
        )
