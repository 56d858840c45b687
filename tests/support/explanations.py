"""Pipelines of tiny models at random for every task that is explained, and an input of each."""

from checkpoints import MODEL_TYPES, ROBERTA_LIKE, make_checkpoint

import minibert
from minibert import SentenceEncoder

FAMILIES = [name for name in MODEL_TYPES if name != "longformer"]  # whose attention has windows: it is not explained
ENTITIES = {0: "O", 1: "B-PER", 2: "I-PER"}
CASES = {  # a task -> the head, changes of the configuration, an input
    "text-classification": ("ForSequenceClassification", {"num_labels": 3}, "waiting is not good, it is dull."),
    "pairs": ("ForSequenceClassification", {}, ("the movie is good", "i love it!")),
    "one label": ("ForSequenceClassification", {"num_labels": 1}, ("the movie", "was great")),
    "regression": ("ForSequenceClassification", {"num_labels": 1, "problem_type": "regression"}, "it was very good"),
    "token-classification": ("ForTokenClassification", {"id2label": ENTITIES}, "the movie was very dull!"),
    "question-answering": ("ForQuestionAnswering", {}, {"question": "is it good?", "context": "this is a great film"}),
    "fill-mask": ("ForMaskedLM", {}, "the [MASK] was very good."),
}


def pipeline_for(case, folder, model_type="distilbert", **changes):
    head, own_changes, _ = CASES[case]
    task = case if "-" in case else "text-classification"
    length = {"max_position_embeddings": 34 if model_type in ROBERTA_LIKE else 32}
    name = make_checkpoint(folder / f"{case}-{model_type}", model_type, head, **{**length, **own_changes, **changes})
    return minibert.pipeline(task, name)


def input_for(case, model_type):
    text = CASES[case][2]
    return text.replace("[MASK]", "<mask>") if isinstance(text, str) and model_type in ROBERTA_LIKE else text


def sentence_encoder(folder):
    return SentenceEncoder.from_pretrained(make_checkpoint(folder / "sentences", "bert", "Model", max_position_embeddings=32))
