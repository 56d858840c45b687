"""Batches and models of every class that has a loss: inputs, labels and a small model at random."""

import numpy as np
from checkpoints import WORDS, small_model

from minibert.families import FAMILIES

ROWS, LENGTH, LABELS, VOCABULARY = 6, 9, 3, len(WORDS)
HEADS = [family.prefix + head for family in FAMILIES.values() for head in family.heads if head != "Model"]


def model_of(name, **changes):
    family, _, head = name.partition("For")
    labels = {"num_labels": LABELS} if head.endswith(("SequenceClassification", "TokenClassification")) else {}
    return small_model(family.lower(), "For" + head, **{**labels, **changes})


def batch(name, seed=0, padded=True):
    """Inputs and labels for a class, with padding on the right and some labels that are ignored."""
    random = np.random.default_rng(seed)
    ids = random.integers(1, VOCABULARY, (ROWS, LENGTH))
    lengths = random.integers(2, LENGTH + 1, ROWS) if padded else np.full(ROWS, LENGTH)
    mask = (np.arange(LENGTH) < lengths[:, None]).astype(int)
    inputs = {"input_ids": ids * mask, "attention_mask": mask}
    if not name.startswith("Distil"):
        inputs["token_type_ids"] = random.integers(0, 2, ids.shape) * mask
    if name in ("LongformerForQuestionAnswering", "LongformerForMultipleChoice"):  # the ids are no pairs of texts
        inputs["global_attention_mask"] = random.integers(0, 2, ids.shape) * mask
    classes = LABELS if name.endswith("TokenClassification") else VOCABULARY
    tokens = np.where(mask * (random.random(ids.shape) < 0.6), random.integers(0, classes, ids.shape), -100)
    if name.endswith("MultipleChoice"):
        inputs = {key: value.reshape(2, 3, LENGTH) for key, value in inputs.items()}
        return inputs, {"labels": np.array([2, 0])}
    if name.endswith("SequenceClassification"):
        return inputs, {"labels": np.array([0, 2, 1, -100, 1, 0])}
    if name.endswith("NextSentencePrediction"):
        return inputs, {"labels": random.integers(0, 2, ROWS)}
    if name.endswith("QuestionAnswering"):
        return inputs, {
            "start_positions": np.array([0, 1, 0, 1, LENGTH + 3, 1]),
            "end_positions": np.array([1, 1, 0, 1, 1, -5]),
        }
    if name == "ElectraForPreTraining":
        return inputs, {"labels": random.integers(0, 2, ids.shape)}
    if name == "BertForPreTraining":
        return inputs, {"labels": tokens, "next_sentence_label": random.integers(0, 2, ROWS)}
    return inputs, {"labels": tokens}
