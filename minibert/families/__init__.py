"""The model families. A family is one file here, and one entry in FAMILIES.

    bert.py          configuration, names in a checkpoint, classes with their heads
    distilbert.py    the same encoder under other names, without token types
    electra.py       embeddings that may be narrower than the hidden states, a discriminator and a generator
    roberta.py       positions that leave out padding, other heads
    longformer.py    RoBERTa with a window for each layer, and tokens that see all
    mpnet.py         RoBERTa's positions and special tokens, attention with a bias for distances

The entry makes the family known: the public names of `minibert`, the Auto classes (`minibert/auto.py`) and the tasks
of the pipelines derive from it. This file imports no NumPy, so all of them stay cheap until a class is used. To add a
family, write its file and its entry; `tests/models/test_families.py` compares the two.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # as in typing, whose import costs more than all of this
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# The end of a class's name -> what the class is for: a task of `minibert/pipelines/`, or something else.
HEADS = {
    "Model": "feature-extraction",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
    "ForPreTraining": "fill-mask",
    "ForMultipleChoice": "multiple choice",
    "ForNextSentencePrediction": "next sentence prediction",
}
PRETRAINED = ("fill-mask", "replaced token detection")  # heads of pretraining: any other task may begin from their models
COMMON_HEADS = (
    "Model",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMultipleChoice",
    "ForMaskedLM",
)


class Family:
    """What is known of a family before its file is imported."""

    def __init__(
        self,
        module: str,
        prefix: str,
        tokenizer: str | None,
        heads: tuple[str, ...],
        purposes: Mapping[str, str] | None = None,
        pretraining_head: str = "ForPreTraining",
    ):
        self.module = module  # the file, in this folder
        self.prefix = prefix  # of its classes: prefix + "Config", and prefix + each of the heads
        self.tokenizer = tokenizer  # the class of `minibert/tokenization/` that is its tokenizer, if there is one
        self.heads = heads
        self.purposes = {**{head: HEADS[head] for head in heads}, **(purposes or {})}
        self.pretraining_head = pretraining_head  # of the class that AutoModelForPreTraining takes

    def load(self, name: str) -> type:
        """The end of a class's name -> the class."""
        return getattr(import_module(f"{__name__}.{self.module}"), self.prefix + name)


# model_type in config.json -> the family
FAMILIES = {
    "bert": Family(
        module="bert",
        prefix="Bert",
        tokenizer="BertTokenizer",
        heads=(*COMMON_HEADS, "ForPreTraining", "ForNextSentencePrediction"),
    ),
    "distilbert": Family(
        module="distilbert",
        prefix="DistilBert",
        tokenizer="DistilBertTokenizer",
        heads=COMMON_HEADS,
        pretraining_head="ForMaskedLM",
    ),
    "electra": Family(
        module="electra",
        prefix="Electra",
        tokenizer="BertTokenizer",
        heads=(*COMMON_HEADS, "ForPreTraining"),
        purposes={"ForPreTraining": "replaced token detection"},
    ),
    "roberta": Family(
        module="roberta", prefix="Roberta", tokenizer="RobertaTokenizer", heads=COMMON_HEADS, pretraining_head="ForMaskedLM"
    ),
    "longformer": Family(
        module="longformer",
        prefix="Longformer",
        tokenizer="RobertaTokenizer",
        heads=COMMON_HEADS,
        pretraining_head="ForMaskedLM",
    ),
    "mpnet": Family(
        module="mpnet", prefix="MPNet", tokenizer="MPNetTokenizer", heads=COMMON_HEADS, pretraining_head="ForMaskedLM"
    ),
}


def public_names() -> Iterator[tuple[str, str, str]]:
    """(name, module of minibert, name in the module) of every class of every family, tokenizers included."""
    for family in FAMILIES.values():
        for end in ("Config", *family.heads):
            yield family.prefix + end, f"families.{family.module}", family.prefix + end
        if family.tokenizer is not None:
            for end in ("Tokenizer", "TokenizerFast"):
                yield family.prefix + end, "tokenization", family.tokenizer


def purpose_of(class_name: str) -> str | None:
    """A model class's name -> what it is for; None for a name that says nothing of it.

    A class of another library counts by the end of its name: "MyBertForTokenClassification" labels tokens.
    """
    for family in FAMILIES.values():
        for head in family.heads:
            if class_name.endswith(family.prefix + head):
                return family.purposes[head]
    return next((HEADS[head] for head in HEADS if head != "Model" and class_name.endswith(head)), None)
