"""minibert: BERT and DistilBERT on a CPU, from text to label, with nothing between that a reader cannot open.

    from minibert import pipeline
    pipeline("sentiment-analysis")("I've been waiting for a HuggingFace course my whole life.")

Names are looked up when they are first used, so `import minibert` takes milliseconds and imports no NumPy.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

# public name -> the module it is in
PLACES = {
    name: module
    for module, names in {
        "pipelines": ("pipeline",),
        "pipelines.warm_up": ("warm_up",),
        "pipelines.sentence_encoder": ("SentenceEncoder",),
        "tokenization": (
            "AutoTokenizer", "BatchEncoding", "BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer",
            "DistilBertTokenizerFast", "PreTrainedTokenizerFast",
        ),
        "config": ("AutoConfig", "BertConfig", "DistilBertConfig", "PreTrainedConfig"),
        "models.modeling": ("BertModel", "DistilBertModel"),
        "models.classification": (
            "BertForMultipleChoice", "BertForNextSentencePrediction", "BertForQuestionAnswering",
            "BertForSequenceClassification", "BertForTokenClassification", "DistilBertForMultipleChoice",
            "DistilBertForQuestionAnswering", "DistilBertForSequenceClassification",
            "DistilBertForTokenClassification",
        ),
        "models.language_modeling": ("BertForMaskedLM", "BertForPreTraining", "DistilBertForMaskedLM"),
        "models.auto": (
            "AutoModel", "AutoModelForMaskedLM", "AutoModelForMultipleChoice", "AutoModelForNextSentencePrediction",
            "AutoModelForPreTraining", "AutoModelForQuestionAnswering", "AutoModelForSequenceClassification",
            "AutoModelForTokenClassification",
        ),
        "models.heads": ("sigmoid", "softmax"),
        "kernels.runtime.buffer_pool": ("free_buffers",),
        "kernels.runtime.thread_count": ("get_num_threads", "set_num_threads"),
        "errors": (
            "CheckpointError", "ConfigError", "DataFileError", "DownloadError", "GatedModelError", "InputError",
            "InputTypeError", "KernelError", "MinibertError", "MinibertWarning", "ModelFileError", "ModelNotFoundError",
            "VocabularyError", "WeightsError",
        ),
    }.items()
    for name in names
}  # fmt: skip

__all__ = sorted(PLACES)


def __getattr__(name: str):
    if name not in PLACES:
        raise AttributeError(f"minibert has no {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"minibert.{PLACES[name]}"), name)
    globals()[name] = value  # found at once from now on
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
