"""A small checkpoint for each task of a pipeline, and a call of it."""

import json

from checkpoints import make_checkpoint

LABELS = {0: "NEG", 1: "NEU", 2: "POS"}
VERDICTS = {0: "contradiction", 1: "neutral", 2: "entailment"}
TAGS = {0: "O", 1: "B-PER", 2: "I-PER"}
TEXTS = ["a good movie", "bad"]
PAIR = {"text": "a movie", "text_pair": "bad"}
LONG = "good " * 30  # 32 tokens
HEADS = {
    "text-classification": ("ForSequenceClassification", {"id2label": LABELS}),
    "token-classification": ("ForTokenClassification", {"id2label": TAGS}),
    "fill-mask": ("ForMaskedLM", {}),
    "feature-extraction": ("Model", {}),
    "zero-shot-classification": ("ForSequenceClassification", {"id2label": VERDICTS}),
    "question-answering": ("ForQuestionAnswering", {}),
}
CALLS = {
    "fill-mask": {"inputs": "a [MASK] movie"},
    "question-answering": {"question": "what ?", "context": "a good movie"},
    "zero-shot-classification": {"sequences": "a good movie", "candidate_labels": ["film", "bad"]},
}


def checkpoint_for(task, folder):
    head, changes = HEADS[task]
    settings = make_checkpoint(folder, "bert", head, **changes) / "tokenizer_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "model_max_length": 16}))
    return folder
