"""AutoTokenizer: the tokenizer of a checkpoint, of the class that its files name."""

from minibert.errors import VocabularyError, brief, strict_arguments

from .classes import BertTokenizer, DistilBertTokenizer, PreTrainedTokenizerFast
from .files.loading import load, locate, read_file

CLASSES = {
    "BertTokenizer": BertTokenizer,
    "DistilBertTokenizer": DistilBertTokenizer,
    "PreTrainedTokenizer": PreTrainedTokenizerFast,
    "TokenizersBackend": PreTrainedTokenizerFast,
}
MODEL_TYPES = {"bert": BertTokenizer, "distilbert": DistilBertTokenizer}


class AutoTokenizer:
    """Selects the class of a checkpoint's tokenizer; it has no instances."""

    @classmethod
    @strict_arguments
    def from_pretrained(
        cls, name_or_folder, *, revision=None, cache_dir=None, token=None, local_files_only=False, **overrides
    ):
        """The tokenizer of a checkpoint, of the class that tokenizer_config.json names, or else of its model's class."""
        checkpoint = locate(name_or_folder, revision, cache_dir, token, local_files_only)
        return load(class_of(checkpoint), checkpoint, overrides)


def class_of(checkpoint):
    class_name = read_file(checkpoint, "tokenizer_config.json").get("tokenizer_class")
    if class_name is not None:
        tokenizer_class, classes = CLASSES.get(str(class_name).removesuffix("Fast")), CLASSES
        source = f"tokenizer_class {brief(class_name)}"
    else:
        model_type = read_file(checkpoint, "config.json").get("model_type")
        tokenizer_class, classes = MODEL_TYPES.get(str(model_type)), MODEL_TYPES
        source = f"model_type {brief(model_type)}"
    if tokenizer_class is None:
        raise VocabularyError(
            f"minibert has the tokenizers of {', '.join(classes)}; the checkpoint {checkpoint.name} says {source}."
            " If it is one of them all the same, call from_pretrained of that class."
        )
    return tokenizer_class
