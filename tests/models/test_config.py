"""minibert/config.py: what config.json may say, and every way in which it may be wrong."""

import copy
import json
import math
import pickle

import numpy as np
import pytest
from checkpoints import SIZES, make_checkpoint, rewrite_config, small_config
from damaged_files import CONFIGS

import minibert
from minibert import (
    AutoConfig,
    BertConfig,
    ConfigError,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    InputTypeError,
    LongformerConfig,
    MinibertError,
    MPNetConfig,
    PreTrainedConfig,
    RobertaConfig,
)

NO_SIZES = [0, -1, 2**31, 2**63, 10**400, True, False, 2.0, 0.5, math.nan, math.inf, "8", "", None, [8], {}]
NO_SIZE = ("initializer_range", "attention_window", "sep_token_id")
NO_SIZES.append(10**5000)  # which Python refuses to print


def short_repr(value):
    return "10**5000" if value == 10**5000 else f"{value!r:.20}"


@pytest.mark.parametrize(
    "model_type, name", [(model_type, name) for model_type in SIZES for name in SIZES[model_type] if name not in NO_SIZE]
)
@pytest.mark.parametrize("value", NO_SIZES, ids=short_repr)
def test_a_size_that_is_no_whole_number_from_one_up_is_refused_by_its_name(model_type, name, value):
    with pytest.raises(ConfigError, match=f"^{name} must be a whole number from 1 to 2147483647; got "):
        small_config(model_type, **{name: value})


@pytest.mark.parametrize("value", [0, True, "2", None])
def test_the_number_of_token_types_is_a_size_too(value):
    with pytest.raises(ConfigError, match="type_vocab_size must be a whole number"):
        BertConfig(type_vocab_size=value)


@pytest.mark.parametrize("values, message", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_value_that_no_encoder_can_have_is_refused(values, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        BertConfig.from_dict({**SIZES["bert"], **values})


def test_a_fault_in_a_file_names_the_file(tmp_path):
    rewrite_config(make_checkpoint(tmp_path), n_heads=3)
    with pytest.raises(ConfigError, match="config.json: the width must divide by the heads"):
        AutoConfig.from_pretrained(tmp_path)


def test_a_size_nested_too_deep_to_print_is_an_error_like_any_other():
    value = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ConfigError, match="got a value of type list too large to show"):
        BertConfig(hidden_size=value)


@pytest.mark.parametrize("alias, name", DistilBertConfig.aliases.items())
def test_an_alias_sets_and_reads_the_size_and_may_not_disagree_with_it(alias, name):
    size, others = SIZES["distilbert"][name] * 2, {"dim": 48, "n_heads": 2}
    others.pop(name, None)
    config = DistilBertConfig(**others, **{alias: size})
    assert getattr(config, alias) == getattr(config, name) == size and alias not in config.to_dict()
    setattr(config, alias, 12)
    assert getattr(config, name) == 12
    both = {alias: size, name: size}
    assert DistilBertConfig(**others, **both) == DistilBertConfig(**others, **{name: size})
    with pytest.raises(ConfigError, match=f"{alias} is another name of {name}; got {size} and 12"):
        DistilBertConfig(**{alias: size, name: 12})


def test_the_defaults_are_the_published_base_models():
    configs = BertConfig(), DistilBertConfig(), ElectraConfig(), RobertaConfig(), LongformerConfig(), MPNetConfig()
    bert, distilbert, electra, roberta, longformer, mpnet = (config.architecture for config in configs)
    assert bert == (12, 768, 12, 3072, 30522, 512, 2, "gelu", 1e-12, 768, None, 0, None)
    assert distilbert == (6, 768, 12, 3072, 30522, 512, 1, "gelu", 1e-12, 768, None, 0, None)
    assert electra == (12, 256, 4, 1024, 30522, 512, 2, "gelu", 1e-12, 128, None, 0, None)
    assert roberta == (12, 768, 12, 3072, 50265, 512, 2, "gelu", 1e-12, 768, 1, 0, None)
    assert longformer == (12, 768, 12, 3072, 30522, 512, 2, "gelu", 1e-12, 768, 1, 0, (256,))
    assert mpnet == (12, 768, 12, 3072, 30527, 512, 1, "gelu", 1e-12, 768, 1, 32, None)


def test_print_shows_the_class_and_sorted_json():
    name, _, text = str(BertConfig(num_labels=3)).partition(" ")
    assert name == "BertConfig" and text.startswith("{\n")
    values = json.loads(text)
    assert list(values) == sorted(values) and values["hidden_size"] == 768 and values["model_type"] == "bert"
    assert values["id2label"] == {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}


def test_labels_are_read_with_numbers_for_keys_and_written_with_strings(tmp_path):
    config = small_config(id2label={"1": "POSITIVE", "0": "NEGATIVE"}, label2id={"NEGATIVE": 0, "POSITIVE": 1})
    assert config.id2label == {0: "NEGATIVE", 1: "POSITIVE"} and config.label2id == {"NEGATIVE": 0, "POSITIVE": 1}
    config.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["id2label"] == {"0": "NEGATIVE", "1": "POSITIVE"}
    assert AutoConfig.from_pretrained(tmp_path).id2label == config.id2label


@pytest.mark.parametrize("model_type", SIZES)
def test_a_saved_configuration_loads_equal_and_keeps_what_it_does_not_know(model_type, tmp_path):
    unknown = {"summary_last_dropout": 0.1, "task_specific_params": {"a": [1, None]}, "finetuning_task": "é日本"}
    config = small_config(model_type, num_labels=3, hidden_act_of_old="x", **unknown)
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert loaded == config and type(loaded) is type(config)
    written = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert {name: written[name] for name in unknown} == unknown


@pytest.mark.parity
@pytest.mark.parametrize("names", [{"0": 5, "1": 7}, {0: "5", 1: "7"}, {0: "NEGATIVE", 1: 1.5}, {0: None, 1: True}], ids=str)
def test_names_of_labels_that_are_numbers_stay_numbers(names, tmp_path):
    transformers = pytest.importorskip("transformers")
    theirs, ours = transformers.BertConfig(id2label=names), BertConfig(id2label=names)
    assert ours.id2label == theirs.id2label and ours.to_dict()["id2label"] == theirs.to_dict()["id2label"]
    assert all(type(ours.id2label[index]) is type(name) for index, name in theirs.id2label.items())
    theirs.save_pretrained(tmp_path / "theirs")
    ours.save_pretrained(tmp_path / "ours")
    for folder in (tmp_path / "theirs", tmp_path / "ours"):
        loaded = AutoConfig.from_pretrained(folder).id2label, transformers.AutoConfig.from_pretrained(folder).id2label
        assert loaded == (ours.id2label, ours.id2label) and type(loaded[0][0]) is type(ours.id2label[0])
        saved = json.loads((folder / "config.json").read_text())["id2label"]
        assert saved == {str(index): name for index, name in ours.id2label.items()}


@pytest.mark.parity
@pytest.mark.parametrize("labels", [{}, {"num_labels": 3}], ids=str)
def test_a_dictionary_of_a_configuration_has_the_labels_with_numbers_for_keys(labels):
    transformers = pytest.importorskip("transformers")
    assert BertConfig(**labels).to_dict()["id2label"] == transformers.BertConfig(**labels).to_dict()["id2label"]


def test_numbers_of_numpy_are_numbers(tmp_path):
    config = small_config(num_labels=np.int64(3), dim=np.int32(16), n_heads=np.uint8(4), initializer_range=np.float32(0.5))
    assert config == small_config(num_labels=3, dim=16, n_heads=4, initializer_range=0.5)
    config.n_layers, config.label2id = np.int64(1), {"a": np.int64(0), "b": np.int64(1)}
    assert config.label2id == {"a": 0, "b": 1} and type(config.n_layers) is type(config.label2id["b"]) is int
    config.id2label = {np.int64(0): "a", np.int64(1): "b"}
    config.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path, n_layers=np.int16(2)).n_layers == 2


@pytest.mark.parametrize(
    "value", [b"x", {1, 2}, object(), 10**5000, np.arange(2), [np.zeros(1)], {1: 0, "a": 1}], ids=lambda x: type(x).__name__
)
def test_what_json_cannot_hold_is_refused_at_once(value):
    with pytest.raises(ConfigError, match="task must be something that JSON can hold"):
        BertConfig(task=value)
    config = BertConfig()
    with pytest.raises(ConfigError, match="task must be something that JSON can hold"):
        config.task = value
    config.task = []
    config.task.append(value)
    with pytest.raises(ConfigError, match="task must be something that JSON can hold"):
        config.to_json_string()


@pytest.mark.parametrize("value", [np.arange(2), "yes", 2, [True], {}], ids=repr)
def test_a_flag_is_true_or_false(value):
    for name in ("tie_word_embeddings", "is_decoder", "output_attentions"):
        with pytest.raises(ConfigError, match=f"{name} must be (True or False|something that JSON can hold)"):
            BertConfig(**{name: value})


def test_configurations_are_equal_by_value_and_copy_as_objects_do():
    config = small_config("bert", num_labels=3)
    assert config == small_config("bert", num_labels=3) == copy.deepcopy(config) == pickle.loads(pickle.dumps(config))
    assert config != small_config("bert", num_labels=4) and config != small_config("distilbert") and config != 5


def test_overrides_go_over_the_file_by_any_of_their_names(tmp_path):
    make_checkpoint(tmp_path, id2label={0: "NEGATIVE", 1: "POSITIVE"})
    assert AutoConfig.from_pretrained(tmp_path, hidden_size=16).dim == 16
    assert AutoConfig.from_pretrained(tmp_path, num_labels=3).id2label == {i: f"LABEL_{i}" for i in range(3)}
    assert AutoConfig.from_pretrained(tmp_path, num_labels=2).id2label == {0: "NEGATIVE", 1: "POSITIVE"}
    three = AutoConfig.from_pretrained(tmp_path, id2label={0: "a", 1: "b", 2: "c"}, label2id={"a": 0, "b": 1, "c": 2})
    assert three.num_labels == 3 and three.label2id["c"] == 2
    assert AutoConfig.from_pretrained(tmp_path, output_attentions=True).output_attentions is True
    rewrite_config(tmp_path, id2label=None, label2id=None, num_labels=5)
    assert AutoConfig.from_pretrained(tmp_path, id2label={0: "a"}).num_labels == 1


def test_an_override_that_is_wrong_or_unknown_is_refused(tmp_path):
    make_checkpoint(tmp_path)
    with pytest.raises(ConfigError, match="n_layers must be a whole number"):
        AutoConfig.from_pretrained(tmp_path, num_hidden_layers=0)
    with pytest.raises(ConfigError, match="num_labels must be the length of id2label; got 3 and 1"):
        AutoConfig.from_pretrained(tmp_path, num_labels=3, id2label={0: "a"})
    for override in ({"kernel": "fast"}, {"revison": "main"}, {"to_dict": 1}, {"architecture": 1}):
        with pytest.raises(InputTypeError, match=f"or a key of the configuration; got {list(override)[0]}"):
            DistilBertForSequenceClassification.from_pretrained(tmp_path, **override)


def test_labels_set_afterwards_are_checked_and_turned_as_at_first():
    config = small_config(num_labels=3)
    config.id2label = {"0": "no", "1": "yes"}
    assert config.num_labels == 2 and config.id2label == {0: "no", 1: "yes"}
    config.label2id = {"no": 0, "yes": 1}
    config.num_labels = 2
    assert config.id2label == {0: "no", 1: "yes"}
    config.num_labels = 3
    assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    with pytest.raises(ConfigError, match="without a gap"):
        config.id2label = {1: "yes"}


@pytest.mark.parity
def test_label2id_alone_changes_no_label_there_and_here(tmp_path):
    transformers = pytest.importorskip("transformers")
    libraries = transformers, minibert
    for labels in ({"a": 0}, {"x": 1, "y": 0, "z": 2}):
        both = [library.BertConfig(id2label={0: "x", 1: "y"}) for library in libraries]
        for config in both:
            config.label2id = labels
            assert (config.num_labels, config.id2label, config.label2id) == (2, {0: "x", 1: "y"}, labels)
            config.save_pretrained(tmp_path)
            for library in libraries:
                read = library.BertConfig.from_pretrained(tmp_path)
                assert (read.num_labels, read.id2label, read.label2id) == (2, {0: "x", 1: "y"}, labels)
            config.num_labels = 3
            assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}


def test_labels_that_are_set_have_their_own_label2id(tmp_path):
    config = BertConfig(id2label={0: "x", 1: "y"}, label2id={"z": 0})
    assert config.label2id == {"z": 0} and BertConfig.from_dict(config.to_dict()) == config == copy.deepcopy(config)
    assert BertConfig.from_dict(config.to_dict(), label2id={"x": 0, "y": 1}).label2id == {"x": 0, "y": 1}
    config.id2label = {0: "p", 1: "q", 2: "r"}
    assert config.label2id == {"p": 0, "q": 1, "r": 2}
    for value in (5, None, "x", [("x", 0)], {"x": "0"}, {0: "x"}, {"x": 0.5}, {"x": True}):
        with pytest.raises(ConfigError, match="label2id must map names to 0, 1, 2"):
            config.label2id = value
        assert BertConfig(id2label={0: "x"}, label2id=value).label2id == {"x": 0}  # as of a file that holds it


def test_the_class_of_another_model_type_is_refused(tmp_path):
    make_checkpoint(tmp_path)
    with pytest.raises(ConfigError, match="is a distilbert model's; load it with the distilbert class"):
        BertConfig.from_pretrained(tmp_path)
    assert BertConfig.from_pretrained(make_checkpoint(tmp_path / "b", "bert")).hidden_size == 8


@pytest.mark.parametrize("stated", ["gpt2", 5, ["bert"], None])
def test_a_model_type_that_there_is_no_encoder_for_is_refused(stated, tmp_path):
    rewrite_config(make_checkpoint(tmp_path), model_type=stated)
    with pytest.raises(
        ConfigError, match="runs models of type bert, distilbert, electra, roberta, longformer, mpnet; .*config.json says"
    ):
        AutoConfig.from_pretrained(tmp_path)


def test_a_class_takes_a_file_that_does_not_say_its_type(tmp_path):
    rewrite_config(make_checkpoint(tmp_path), model_type=None)
    assert DistilBertConfig.from_pretrained(tmp_path) == small_config(
        architectures=["DistilBertForSequenceClassification"], dtype="float32"
    )


def test_the_shared_class_alone_describes_no_encoder():
    with pytest.raises(ConfigError, match="describes no encoder; use AutoConfig, or a family's own class such as BertConfig"):
        PreTrainedConfig()
    with pytest.raises(ConfigError, match=r"describes no encoder; use AutoConfig.from_pretrained\(name\)"):
        PreTrainedConfig.from_pretrained("minibert-sst2")
    with pytest.raises(AttributeError, match="BertConfig has no 'dim'"):
        BertConfig().dim
    with pytest.raises(MinibertError, match="keys must be names"):
        BertConfig.from_dict({5: 5})
