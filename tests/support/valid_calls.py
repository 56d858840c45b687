"""Valid objects of every public class and arguments of every call, among which hostile values are put."""

import enum
import importlib.util
import inspect
import json
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from checkpoints import make_checkpoint, small_config

import minibert
from minibert import MinibertWarning
from minibert.config import PreTrainedConfig
from minibert.families import FAMILIES
from minibert.models.base import PreTrainedModel
from minibert.pipelines import pipeline_class
from minibert.sentence_transformers import CrossEncoder, SentenceTransformer, util
from minibert.tokenization import AddedToken
from minibert.tokenization.tokenizer import Tokenizer


class Bench:
    """Objects to call that are as they should be: tiny models, on disk and in memory."""

    def __init__(self, root: Path):
        self.root = root
        self.folder, self.model, self.pipe = cache(self.folder), cache(self.model), cache(self.pipe)
        self.kept = cache(self.instance)
        self.sentence_folder, self.pool = cache(self.sentence_folder), cache(self.pool)
        self.ranking_folder = cache(self.ranking_folder)

    def folder(self, architecture="bert", head="ForSequenceClassification") -> Path:
        folder = make_checkpoint(self.root / f"{architecture}-{head}", architecture, head)
        minibert.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)  # tokenizer.json too
        if architecture == "longformer":  # whose pairs of texts would need three separators
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            (folder / "config.json").write_text(json.dumps({**config, "sep_token_id": None}), encoding="utf-8")
        return folder

    def byte_level_folder(self, owner) -> Path:
        folder = self.root / owner.__name__
        owner(BYTE_LEVEL_VOCABULARY, [], pad_token="<pad>").save_pretrained(folder)
        return folder

    def model(self, model_class=minibert.BertForSequenceClassification):
        return model_class(config_of(model_class.config_class), kernels="reference", seed=0)

    def pipe(self, task):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MinibertWarning)  # zero-shot: no label begins with "entail"
            return minibert.pipeline(task, self.model(pipeline_class(task).auto_class().classes()["bert"]), bert_tokenizer())

    def sentence_folder(self) -> Path:
        folder = self.root / "sentences"
        sample(minibert.SentenceEncoder).save_pretrained(folder)
        return folder

    def ranking_folder(self) -> Path:
        folder = self.root / "ranking"
        sample(minibert.Reranker).save_pretrained(folder)
        return folder

    def pool(self) -> dict:
        return sample(SentenceTransformer).start_multi_process_pool(["cpu"])

    def instance(self, owner: type):
        """An object of a class; a new one each time if calls may change it."""
        if owner is minibert.PreTrainedTokenizerFast:
            return owner(tokenizer_file=self.folder() / "tokenizer.json", **SPECIAL)
        return self.model(owner) if issubclass(owner, PreTrainedModel) else sample(owner)


def config_of(config_class):
    return small_config(config_class.model_type or "bert")


def bert_tokenizer(owner=minibert.BertTokenizer):
    return owner(VOCABULARY, model_max_length=16)


def sample(owner: type):
    """As `Bench.instance`, of classes whose objects need no file."""
    if issubclass(owner, Tokenizer):
        return bert_tokenizer(owner if issubclass(owner, minibert.BertTokenizer) else minibert.BertTokenizer)
    if issubclass(owner, PreTrainedConfig):
        return config_of(owner)
    if issubclass(owner, PreTrainedModel):
        return owner(config_of(owner.config_class), kernels="reference", seed=0)
    if owner is minibert.SentenceEncoder:
        return owner(sample(minibert.BertModel), bert_tokenizer())
    if owner is SentenceTransformer:
        transformer = owner.__new__(owner)  # its constructor needs a folder
        transformer.encoder = sample(minibert.SentenceEncoder)
        return transformer
    if issubclass(owner, minibert.ModelOutput):
        return owner(**{name: np.ones((2, 3), np.float32) for name in owner.fields})
    if owner is minibert.Reranker:
        return owner(minibert.BertForSequenceClassification(small_config("bert", num_labels=1), seed=0), bert_tokenizer())
    if owner is CrossEncoder:
        cross_encoder = owner.__new__(owner)
        cross_encoder.reranker = sample(minibert.Reranker)
        return cross_encoder
    if owner is minibert.BatchEncoding:
        return bert_tokenizer()(TEXTS, padding=True, return_offsets_mapping=True)
    if owner is AddedToken:
        return AddedToken("<x>")
    if issubclass(owner, minibert.Trainer):
        args = minibert.TrainingArguments("saved", max_steps=1, save_strategy="no", disable_tqdm=True)
        trainer = owner(
            sample(minibert.BertForSequenceClassification),
            args,
            train_dataset=ROWS,
            eval_dataset=ROWS,
            peft_config=minibert.LoraConfig(r=1),
        )
        trainer.train()  # so that there is an adapter to save
        return trainer
    if owner is minibert.AdamW:
        return owner({"x": np.zeros(3)})
    if owner is minibert.DataCollatorForLanguageModeling:
        return owner(bert_tokenizer(), seed=0)
    if owner in (minibert.DataCollatorWithPadding, minibert.DataCollatorForTokenClassification):
        return owner(bert_tokenizer())
    if owner in (minibert.LoraConfig, minibert.TrainingArguments, minibert.TrainerCallback, minibert.EarlyStoppingCallback):
        return owner()
    if owner is minibert.DefaultDataCollator:
        return owner()
    raise LookupError(f"say here how to construct a {owner.__name__}")


def family_class(model_class):
    """The class itself; BertModel for PreTrainedModel, which describes no encoder."""
    return minibert.BertModel if model_class is PreTrainedModel else model_class


def head_of(model_class) -> str:
    """DistilBertForMaskedLM -> ForMaskedLM; BertModel -> Model"""
    return model_class.__name__.removeprefix(FAMILIES[model_class.config_class.model_type].prefix)


def batch_of(model_class) -> dict:
    rows = [IDS], [MASK]
    return dict(zip(("input_ids", "attention_mask"), rows if "MultipleChoice" in model_class.__name__ else (IDS, MASK)))


def embedding_width(model_class) -> int:
    return config_of(model_class.config_class).architecture.embedding_width


def labels_of(model_class) -> dict:
    """Labels of a batch, by the names of their arguments; {} for a model without a head."""
    values = {"choice": [1], "token": [[0, 1, 1, -100]] * 2, "replaced": MASK}
    heads = model_class.loss_heads(config_of(model_class.config_class))
    return {name: values.get(head.form, [0, 1]) for head in heads for name in head.labels}


VOCABULARY = {
    token: id
    for id, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "movie", "is", "good", "bad", "##ly"])
}
BYTE_LEVEL_VOCABULARY = {
    token: id for id, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>", *"agodmovietns", "Ġ"])
}
SPECIAL = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "sep", "pad", "cls", "mask")}
TEXTS = ["a good movie", "the movie is not bad"]
PAIRS = [("a good movie", "the movie is not bad"), ("a", "good")]
IDS = [[2, 5, 6, 3], [2, 7, 3, 0]]
MASK = [[1, 1, 1, 1], [1, 1, 1, 0]]
ROWS = [{"input_ids": [2, 5, 6, 3], "label": 0}, {"input_ids": [2, 7, 3], "label": 1}]
TAGGED_ROWS = [{"input_ids": [2, 5, 6, 3], "labels": [-100, 0, 1, -100]}, {"input_ids": [2, 7, 3], "labels": [-100, 1, -100]}]
TASK_INPUTS = {  # of tasks that take more than a text
    "fill-mask": {"inputs": "a [MASK] movie"},
    "question-answering": {"question": "a movie", "context": "it is not a bad movie"},
    "zero-shot-classification": {"sequences": "a movie", "candidate_labels": ["good", "bad"]},
}
# Valid arguments of "Class.method", for the class that defines it and those that inherit: what the hostile values are put
# among. Several, if an option is looked at only beside others. A call that is not here needs no arguments.
VALID: dict[str, list[dict] | Callable[[Bench, type], list[dict]]] = {
    "Tokenizer.__call__": [
        {"text": "a good movie"},
        {"text": TEXTS, "text_pair": TEXTS, "padding": True, "truncation": True, "max_length": 8, "return_tensors": "np"},
        {"text": TEXTS, "padding": "max_length", "truncation": True, "max_length": 8, "return_overflowing_tokens": True},
        {"text": ["a", "movie"], "is_split_into_words": True, "return_offsets_mapping": True},
    ],
    "Tokenizer.encode": [{"text": "a good movie"}, {"text": "a", "truncation": True, "max_length": 8}],
    "Tokenizer.tokenize": [{"text": "a good movie"}],
    "Tokenizer.encode_packed": [{"texts": TEXTS}, {"texts": TEXTS, "truncation": True, "max_length": 8}],
    "Decoder.decode": [{"token_ids": IDS[0]}],
    "Decoder.batch_decode": [{"sequences": IDS}],
    "Decoder.convert_tokens_to_string": [{"tokens": ["a", "movie"]}],
    "Vocabulary.convert_tokens_to_ids": [{"tokens": ["a", "movie"]}],
    "Vocabulary.convert_ids_to_tokens": [{"ids": IDS[0]}],
    "Vocabulary.add_tokens": [{"new_tokens": ["<x>"]}],
    "Vocabulary.add_special_tokens": [
        {"special_tokens_dict": {"cls_token": "<x>"}},
        {"special_tokens_dict": {"extra_special_tokens": ["<x>"]}},
    ],
    "Tokenizer.num_special_tokens_to_add": [{"pair": True}],
    "LegacyMethods.encode_plus": [{"text": "a good movie"}, {"text": "a", "pad_to_max_length": True, "max_length": 8}],
    "LegacyMethods.batch_encode_plus": [{"batch_text_or_text_pairs": TEXTS, "pad_to_max_length": True}],
    "LegacyMethods.prepare_for_model": [
        {"ids": [5, 6]},
        {"ids": [5], "pair_ids": [6, 7], "truncation": True, "padding": "max_length", "max_length": 8, "return_tensors": "np"},
    ],
    **{
        f"LegacyMethods.{name}": [{"token_ids_0": [5, 6], "token_ids_1": [7]}]
        for name in ("build_inputs_with_special_tokens", "create_token_type_ids_from_sequences")
    },
    "LegacyMethods.get_special_tokens_mask": [
        {"token_ids_0": [5, 6], "token_ids_1": [7]},
        {"token_ids_0": IDS[0], "already_has_special_tokens": True},
    ],
    "LegacyMethods.apply_chat_template": [],
    **{f"PreTrainedTokenizerBase.{name}": [{"save_directory": "saved"}] for name in ("save_pretrained", "save_vocabulary")},
    "PreTrainedTokenizerBase.pad": [
        {"encoded_inputs": {"input_ids": IDS}},
        {"encoded_inputs": [{"input_ids": IDS[0]}, {"input_ids": [5]}], "padding": True},
    ],
    "BertTokenizer.__init__": [{}, {"vocab": VOCABULARY}],
    "PreTrainedTokenizerFast.__init__": lambda bench, owner: [{"tokenizer_file": bench.folder() / "tokenizer.json", **SPECIAL}],
    "PreTrainedTokenizerBase.from_pretrained": lambda bench, owner: [
        {"pretrained_model_name_or_path": bench.byte_level_folder(owner) if owner.model_type == "BPE" else bench.folder()}
    ],
    "GPT2Tokenizer.__init__": [{"vocab": BYTE_LEVEL_VOCABULARY, "merges": [], "pad_token": "<pad>"}],
    "AutoTokenizer.from_pretrained": lambda bench, owner: [{"pretrained_model_name_or_path": bench.folder()}],
    "AddedToken.__init__": [{"content": "<x>"}],
    "BatchEncoding.__init__": [{}, {"data": {"input_ids": IDS}, "tensor_type": "np"}],
    "BatchEncoding.__getitem__": [{"key": "input_ids"}],
    "ModelOutput.__getitem__": lambda bench, owner: [{"key": slice(1)}, *({"key": name} for name in owner.fields[:1])],
    "BatchEncoding.to": [{"device": "cpu"}],
    **{
        f"BatchEncoding.{source}_to_{target}": [{f"row_or_{source}": 1}, {f"row_or_{source}": 1, source: 1}]
        for source, target in (
            ("token", "sequence"),
            ("token", "word"),
            ("token", "chars"),
            ("word", "tokens"),
            ("word", "chars"),
            ("char", "token"),
            ("char", "word"),
        )
    },
    "PreTrainedConfig.from_dict": lambda bench, owner: [{"values": config_of(owner).to_dict() if owner.model_type else {}}],
    "PreTrainedConfig.from_pretrained": lambda bench, owner: [
        {"pretrained_model_name_or_path": bench.folder(owner.model_type or "bert")}
    ],
    "AutoConfig.from_pretrained": lambda bench, owner: [{"pretrained_model_name_or_path": bench.folder()}],
    "PreTrainedModel.__init__": lambda bench, owner: [
        {"config": config_of(family_class(owner).config_class), "kernels": "reference", "seed": 0}
    ],
    "PreTrainedModel.__call__": lambda bench, owner: [
        batch_of(owner),
        {**batch_of(owner), "output_attentions": True, **labels_of(owner)},
        {"inputs_embeds": np.ones((*np.shape(batch_of(owner)["input_ids"]), embedding_width(owner)))},
    ],
    "PreTrainedModel.forward": lambda bench, owner: [batch_of(owner)],
    "PreTrainedModel.intermediates": lambda bench, owner: [
        batch_of(owner),
        {"inputs_embeds": np.ones((*np.shape(batch_of(owner)["input_ids"]), embedding_width(owner)))},
    ],
    "PreTrainedModel.from_pretrained": lambda bench, owner: [
        {
            "pretrained_model_name_or_path": bench.folder(
                family_class(owner).config_class.model_type, head_of(family_class(owner))
            ),
            "kernels": "reference",
        }
    ],
    "Module.train": [{"mode": False}],
    "Module.cuda": [],
    "Module.half": [],
    "Module.bfloat16": [],
    "Module.requires_grad_": [],
    "Module.set_input_embeddings": [],
    "PreTrainedModel.with_tensors": lambda bench, owner: [{"tensors": bench.model(owner).tensors}],
    "AutoClass.from_pretrained": lambda bench, owner: [
        {"pretrained_model_name_or_path": bench.folder("bert", head_of(owner.classes()["bert"])), "kernels": "reference"}
    ],
    "AutoClass.from_config": [{"config": small_config("bert"), "kernels": "reference"}],
    "SentenceEncoder.__init__": lambda bench, owner: [
        {"model": bench.model(minibert.BertModel), "tokenizer": bert_tokenizer()}
    ],
    "SentenceEncoder.from_pretrained": lambda bench, owner: [{"name": bench.folder("bert", "Model"), "kernels": "reference"}],
    **{
        f"SentenceEncoder.{name}": [{"texts": TEXTS}]
        for name in ("encode", "encode_query", "encode_document", "stream", "tokenize")
    },
    "SentenceEncoder.similarity": [{"one": np.eye(3), "other": np.eye(3)}],
    "Reranker.__init__": lambda bench, owner: [{"model": bench.model(), "tokenizer": bert_tokenizer()}],
    "Reranker.from_pretrained": lambda bench, owner: [{"name": bench.ranking_folder(), "kernels": "reference"}],
    "CrossEncoder.__init__": lambda bench, owner: [
        {"model_name_or_path": bench.ranking_folder(), "model_kwargs": {"kernels": "reference"}}
    ],
    "Reranker.predict": [{"pairs": PAIRS}, {"pairs": PAIRS[0], "activation_fn": np.tanh}],
    "CrossEncoder.predict": [
        {"inputs": PAIRS},
        {"inputs": PAIRS, "device": ["cpu", "cpu"], "activation_fn": np.tanh, "apply_softmax": True},
        {"inputs": PAIRS[0], "convert_to_tensor": bool(importlib.util.find_spec("torch"))},
    ],
    "rank": [
        {"query": "a movie", "documents": TEXTS},
        {"query": "a", "documents": TEXTS, "return_documents": True, "top_k": 1},
    ],
    "SentenceTransformer.__init__": lambda bench, owner: [
        {"model_name_or_path": bench.sentence_folder(), "model_kwargs": {"kernels": "reference"}}
    ],
    **{
        f"SentenceTransformer.{name}": [
            {"inputs": TEXTS},
            {"inputs": TEXTS, "device": ["cpu", "cpu"], "precision": "ubinary", "truncate_dim": 4},
            {"inputs": TEXTS, "output_value": "token_embeddings", "convert_to_tensor": bool(importlib.util.find_spec("torch"))},
        ]
        for name in ("encode", "encode_query", "encode_document")
    },
    "SentenceTransformer.encode_multi_process": lambda bench, owner: [{"sentences": TEXTS, "pool": bench.pool()}],
    "Settings.stop_multi_process_pool": lambda bench, owner: [{"pool": bench.kept(owner).start_multi_process_pool()}],
    "SentenceTransformer.tokenize": [{"texts": TEXTS}],
    "SentenceTransformer.preprocess": [{"inputs": TEXTS, "prompt": "a "}],
    "EmbeddingSettings.set_pooling_include_prompt": [{"include_prompt": False}],
    "EmbeddingSettings.truncate_embeddings": [{"truncate_dim": 4}],
    "EmbeddingSettings.truncate_sentence_embeddings": [{"truncate_dim": 4}],
    "Settings.train": [{"mode": False}],
    "Settings.cuda": [],
    "Settings.save": [{"path": "saved"}],
    "Settings.save_pretrained": [{"path": "saved"}],
    **{
        f"SentenceTransformer.{name}": [{"embeddings1": np.eye(3), "embeddings2": np.eye(3)}]
        for name in ("similarity", "similarity_pairwise")
    },
    **{name: [{"a": np.eye(3), "b": np.eye(3)}] for name in dir(util) if name.endswith(("_sim", "_score"))},
    "pairwise_angle_sim": [{"x": np.eye(3), "y": np.eye(3)}],
    "semantic_search": [{"query_embeddings": np.eye(3), "corpus_embeddings": np.eye(3)}],
    "paraphrase_mining": lambda bench, owner: [{"model": bench.kept(SentenceTransformer), "sentences": TEXTS}],
    "paraphrase_mining_embeddings": [{"embeddings": np.eye(3)}],
    "community_detection": [{"embeddings": np.eye(3), "min_community_size": 1}],
    "quantize_embeddings": [
        {"embeddings": np.eye(3), "precision": "int8"},
        {"embeddings": [np.eye(3)], "precision": "uint8", "ranges": np.array([[0.0] * 3, [1.0] * 3])},
        {"embeddings": np.eye(3), "precision": "binary", "calibration_embeddings": np.eye(3)},
    ],
    "normalize_embeddings": [{"embeddings": np.eye(3)}],
    "truncate_embeddings": [{"embeddings": np.eye(3), "truncate_dim": 2}],
    "explain": lambda bench, owner: [
        {"pipe": bench.pipe("text-classification"), "inputs": "a good movie"},
        {"pipe": bench.pipe("text-classification"), "inputs": "a", "beside": "the movie", "replacements": ["bad"]},
        {"pipe": bench.kept(minibert.SentenceEncoder), "inputs": ("a", "movie")},
    ],
    "pipeline": lambda bench, owner: [
        {"model": bench.model(), "tokenizer": bert_tokenizer()},
        {"task": "text-classification", "model": bench.folder(), "kernels": "reference"},
    ],
    "loss_and_gradients": lambda bench, owner: [
        {"model": bench.model(), "input_ids": IDS, "attention_mask": MASK, "labels": [0, 1], "dropout_seed": 1},
        {
            "model": bench.model(minibert.BertForQuestionAnswering),
            "input_ids": IDS,
            "start_positions": [0, 1],
            "end_positions": [1, 1],
        },
        {"model": bench.model(minibert.BertForTokenClassification), "input_ids": IDS, "labels": [[0, 1, 1, -100]] * 2},
        {"model": bench.model(minibert.BertForMultipleChoice), "input_ids": [IDS], "labels": [1]},
        {"model": bench.model(minibert.ElectraForPreTraining), "input_ids": IDS, "attention_mask": MASK, "labels": MASK},
        {
            "model": bench.model(minibert.BertForPreTraining),
            "input_ids": IDS,
            "labels": [[0, 1, 1, -100]] * 2,
            "next_sentence_label": [0, 1],
        },
    ],
    "softmax": [{"logits": [[1.0, 2.0]]}],
    "sigmoid": [{"logits": [[1.0, 2.0]]}],
    "set_num_threads": [{"count": 1}],
    "set_seed": [{"seed": 1}],
    "set_verbosity": [{"verbosity": 30}],
    "warm_up": [{"kernels": "reference"}],
    "AdamW.__init__": [{"parameters": {"x": np.zeros(3)}}],
    "AdamW.step": [{"gradients": {"x": np.ones(3)}}],
    "AdamW.load_state_dict": [{"state": {"exp_avg.x": np.ones(3), "exp_avg_sq.x": np.ones(3)}, "steps": 1}],
    "TrainingArguments.__init__": [{}, {"eval_strategy": "steps", "load_best_model_at_end": True}],
    "Trainer.__init__": lambda bench, owner: [
        {"model": bench.model(), "train_dataset": ROWS, "args": minibert.TrainingArguments("saved", max_steps=1)}
    ],
    "Trainer.add_callback": [{"callback": minibert.EarlyStoppingCallback}],
    "Trainer.predict": [{"test_dataset": ROWS}],
    "Trainer.pop_callback": [{"callback": minibert.EarlyStoppingCallback}],
    "Trainer.remove_callback": [{"callback": minibert.EarlyStoppingCallback}],
    "Trainer.log_metrics": [{"split": "eval", "metrics": {"eval_loss": 0.5}}],
    "Trainer.metrics_format": [{"metrics": {"eval_loss": 0.5}}],
    "Trainer.save_metrics": [{"split": "eval", "metrics": {"eval_loss": 0.5}}],
    "Trainer.save_model": [{"output_dir": "saved"}],
    "Trainer.save_adapter": [{"output_dir": "saved"}],
    "DataCollatorWithPadding.__init__": lambda bench, owner: [{"tokenizer": bert_tokenizer()}],
    "DataCollatorWithPadding.__call__": [{"features": ROWS}],
    "DataCollatorForTokenClassification.__init__": lambda bench, owner: [{"tokenizer": bert_tokenizer()}],
    "DataCollatorForTokenClassification.__call__": [{"features": TAGGED_ROWS}],
    "DefaultDataCollator.__init__": [{}],
    "DefaultDataCollator.__call__": [{"features": ROWS[:1]}],
    "default_data_collator": [{"features": ROWS[:1]}],
    "DataCollatorForLanguageModeling.__init__": lambda bench, owner: [{"tokenizer": bert_tokenizer()}],
    "DataCollatorForLanguageModeling.__call__": [{"features": ROWS}],
    "save_pretrained": [{"save_directory": "saved"}],
    **{f"{name}.save_pretrained": [{"folder": "saved"}] for name in ("SentenceEncoder", "Reranker")},
}

# Public by their names, yet no calls of a user's: other modules of the package call them, with arguments that are checked.
INTERNAL = {
    "Module": "checkpoint_names",
    "PreTrainedModel": "all_outputs build decoder_names encode encoder_outputs encoder_shapes from_checkpoint head_layers"
    " head_outputs head_shapes load logits_at loss_heads mlm_logits num_outputs optional_tensors pack prepare_head prepare_linear"
    " run_checked run_head unpack_attentions unpack_intermediates",
    "GlobalAttention": "default_global_mask intermediates mask_shape pack tokens_beside_separator unpack_attentions",
    "AutoClass": "class_for classes heads",
    "PreTrainedConfig": "activation_named check check_architecture",
    "SentenceEncoder": "answered chosen_prompt features finished from_checkpoint pooled prompt_for prompt_length vectors",
    "SentenceTransformer": "everything prompt_for token_embeddings",
    "Reranker": "answered check_one_label chosen_prompt from_checkpoint logits parameters to_columns",
    "CrossEncoder": "scores",
    "AdamW": "check_gradients",
    "DataCollatorForLanguageModeling": "mask with_key",
    "DataCollatorForTokenClassification": "read_label",
    "LoraConfig": "to_dict",
    "Trainer": "log measured notify",
    "TrainerCallback": "load_state on_epoch_begin on_epoch_end on_evaluate on_init_end on_log on_optimizer_step on_predict"
    " on_prediction_step on_save on_step_begin on_step_end on_train_begin on_train_end",
    "TrainingArguments": "check check_best items warmup_of",
}
PARTS = {  # attributes that are no settings: what an object consists of
    "PreTrainedModel": "architecture config encoder head kernels graph_cache loading_info tensors",
    "PreTrainedTokenizerFast": "do_lower_case strip_accents tokenize_chinese_chars",  # of BertTokenizer; it has none
    "SentenceEncoder": "dense model sentence_config tokenizer width",
    "SentenceTransformer": "encoder",
    "Reranker": "least_tokens model sentence_config tokenizer",
    "CrossEncoder": "reranker",
    "BatchEncoding": "data",
    "AddedToken": "content lstrip normalized rstrip single_word special",  # frozen
}
KEEPS_UNKNOWN_KEYS = (  # their constructors, as the docstring says; a base class cannot know the keys, and points to the Auto class
    "PreTrainedTokenizerBase.from_pretrained",
    "PreTrainedConfig",
    "PreTrainedConfig.from_pretrained",
    "PreTrainedModel.from_pretrained",
    *(f"{family.prefix}Config" for family in FAMILIES.values()),
)
# Python's own protocols: what they raise beside minibert's errors. They have no options.
PROTOCOLS: dict[str, Any] = {"__getitem__": LookupError, "keys": (), "values": (), "items": ()}
PUBLIC = {name: getattr(minibert, name) for name in minibert.__all__ if name != "logging"} | {"AddedToken": AddedToken}
PUBLIC |= {name: getattr(minibert.logging, name) for name in minibert.logging.__all__ if name.islower()}
PUBLIC |= {"SentenceTransformer": SentenceTransformer, "CrossEncoder": CrossEncoder} | {
    name: getattr(util, name) for name in util.__all__
}
CLASSES = [value for value in dict.fromkeys(PUBLIC.values()) if inspect.isclass(value)]  # each once, whatever its names
# Of classes, which by themselves load and construct nothing; and calls that only name a method.
BASES = ("PreTrainedConfig", "PreTrainedModel", "PreTrainedTokenizerBase", "SentenceTransformer()", "CrossEncoder()")
# Exceptions and warnings Python constructs, members of an Enum its class, and Pipeline is the base of the tasks' classes.
NO_CALLS = [  # an EvalPrediction is what a Trainer returns
    owner
    for owner in CLASSES
    if issubclass(owner, (Exception, enum.Enum)) or owner in (minibert.Pipeline, minibert.EvalPrediction)
]
ABSTRACT = (PreTrainedConfig, PreTrainedModel)  # of which there are no objects
