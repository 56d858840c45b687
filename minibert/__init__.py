"""minibert: BERT-family encoders on a CPU, from text to label, with nothing between that a reader cannot open.

    from minibert import pipeline
    pipeline("sentiment-analysis")("I've been waiting for a HuggingFace course my whole life.")

Names are looked up when they are first used, so `import minibert` takes milliseconds and imports no NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .families import public_names

__version__ = "0.1.0"

# public name -> the module it is in, and its name there
_LAZY_EXPORTS = {
    name: (module, name)
    for module, names in {
        "pipelines": ("pipeline",),
        "pipelines.base": ("Pipeline",),
        "pipelines.feature_extraction": ("FeatureExtractionPipeline",),
        "pipelines.fill_mask": ("FillMaskPipeline",),
        "pipelines.question_answering": ("QuestionAnsweringPipeline",),
        "pipelines.text_classification": ("TextClassificationPipeline",),
        "pipelines.token_classification": ("TokenClassificationPipeline",),
        "pipelines.zero_shot_classification": ("ZeroShotClassificationPipeline",),
        "seed": ("set_seed",),
        "warmup": ("warm_up",),
        "pipelines.reranking": ("Reranker",),
        "pipelines.sentence_encoder": ("SentenceEncoder",),
        "tokenization": (
            "AddedToken",
            "BatchEncoding",
            "GPT2Tokenizer",
            "GPT2TokenizerFast",
            "LongformerTokenizer",
            "LongformerTokenizerFast",
            "PreTrainedTokenizer",
            "PreTrainedTokenizerBase",
            "PreTrainedTokenizerFast",
            "RobertaTokenizer",
            "RobertaTokenizerFast",
        ),
        "config": ("PreTrainedConfig",),
        "models.base": ("PreTrainedModel",),
        "models.outputs": (
            "BaseModelOutput",
            "BaseModelOutputWithPooling",
            "BertForPreTrainingOutput",
            "ElectraForPreTrainingOutput",
            "MaskedLMOutput",
            "ModelOutput",
            "MultipleChoiceModelOutput",
            "NextSentencePredictorOutput",
            "QuestionAnsweringModelOutput",
            "SequenceClassifierOutput",
            "TokenClassifierOutput",
        ),
        "auto": (
            "AutoConfig",
            "AutoModel",
            "AutoModelForMaskedLM",
            "AutoModelForMultipleChoice",
            "AutoModelForNextSentencePrediction",
            "AutoModelForPreTraining",
            "AutoModelForQuestionAnswering",
            "AutoModelForSequenceClassification",
            "AutoModelForTokenClassification",
            "AutoTokenizer",
        ),
        "models.heads": ("sigmoid", "softmax"),
        "explanation.explain": ("explain",),
        "training.gradients": ("loss_and_gradients",),
        "training.optimizer": ("AdamW",),
        "training.arguments": ("TrainingArguments",),
        "training.trainer": ("Trainer",),
        "training.callbacks": ("EarlyStoppingCallback", "TrainerCallback"),
        "training.lora": ("LoraConfig",),
        "training.collators": (
            "DataCollatorForTokenClassification",
            "DataCollatorWithPadding",
            "DefaultDataCollator",
            "default_data_collator",
        ),
        "training.evaluation": ("EvalPrediction",),
        "training.masking": ("DataCollatorForLanguageModeling",),
        "kernels.runtime.buffer_pool": ("free_buffers",),
        "kernels.runtime.thread_count": ("get_num_threads", "set_num_threads"),
        "errors": (
            "CheckpointError",
            "ConfigError",
            "DataFileError",
            "DownloadError",
            "GatedModelError",
            "InputError",
            "InputTypeError",
            "KernelError",
            "MinibertError",
            "MinibertWarning",
            "ModelFileError",
            "ModelNotFoundError",
            "TrainingError",
            "VocabularyError",
            "WeightsError",
        ),
    }.items()
    for name in names
}
_LAZY_EXPORTS["PretrainedConfig"] = ("config", "PreTrainedConfig")  # its name in transformers before version 5
_LAZY_EXPORTS |= {name: (module, attribute) for name, module, attribute in public_names()}
_LAZY_EXPORTS["NerPipeline"] = ("pipelines.token_classification", "TokenClassificationPipeline")  # its former name
_LAZY_MODULES = ("logging",)

__all__ = sorted([*_LAZY_EXPORTS, *_LAZY_MODULES])


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return import_module(f"minibert.{name}")  # which makes it an attribute
    if name not in _LAZY_EXPORTS:
        raise AttributeError(f"minibert has no {name!r}; it has {', '.join(__all__)}")
    module, attribute = _LAZY_EXPORTS[name]
    value = getattr(import_module(f"minibert.{module}"), attribute)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
