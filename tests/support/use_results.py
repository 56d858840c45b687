"""Using what a call returned: what a constructor accepted must not fail later."""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
from checkpoints import small_model
from valid_calls import IDS, PAIRS, TASK_INPUTS, TEXTS, Bench, bert_tokenizer

import minibert
from minibert.config import PreTrainedConfig
from minibert.models.base import PreTrainedModel
from minibert.pipelines.base import Pipeline
from minibert.sentence_transformers import CrossEncoder, SentenceTransformer
from minibert.tokenization import AddedToken
from minibert.tokenization.tokenizer import Tokenizer


def use(result, bench: Bench) -> None:
    for type_, function in USES.items():
        if isinstance(result, type_):
            function(result, bench)


def use_tokenizer(tokenizer, bench):
    tokenizer(TEXTS, padding=True, truncation=True, max_length=8)
    tokenizer("a movie", return_offsets_mapping=True)
    tokenizer.decode(tokenizer.encode("a movie"), skip_special_tokens=True)
    tokenizer.save_pretrained("saved")
    repr(tokenizer)


def use_config(config, bench):
    repr(config), config.to_dict(), config.num_labels, config.label2id
    sizes = [value for name in config.sizes if type(value := getattr(config, name)) is int]
    if max(sizes) < 10_000:  # others would be too large to construct
        model_class = getattr(minibert, type(config).__name__.replace("Config", "ForSequenceClassification"))
        model_class(config, kernels="reference", seed=0)


def use_model(model, bench):
    model([IDS] if "MultipleChoice" in type(model).__name__ else IDS)
    repr(model)


def use_encoder(encoder, bench):
    encoder.encode(TEXTS)
    encoder.similarity(np.eye(3), np.eye(3))


def use_reranker(reranker, bench):
    reranker.predict(PAIRS)


def use_pipeline(pipe, bench):
    inputs = TASK_INPUTS.get(pipe.task, {"inputs": "a movie"})
    pipe(**{name: value for name, value in inputs.items() if name not in pipe.options})


def use_threads(result, bench):
    sample_of_compiled_kernels()([[1, 2, 3]])


@cache
def sample_of_compiled_kernels():
    return small_model("distilbert", kernels="fast")


USES: dict[type, Callable[[Any, Bench], object]] = {
    Iterator: lambda answers, bench: list(islice(answers, 5)),
    Tokenizer: use_tokenizer,
    PreTrainedConfig: use_config,
    PreTrainedModel: use_model,
    Pipeline: use_pipeline,
    minibert.SentenceEncoder: use_encoder,
    SentenceTransformer: use_encoder,
    minibert.Reranker: use_reranker,
    CrossEncoder: use_reranker,
    minibert.BatchEncoding: lambda batch, bench: repr(batch),
    AddedToken: lambda token, bench: bert_tokenizer().add_tokens(token),
}
