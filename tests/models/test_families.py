"""minibert/families/: each entry of the table is what the family's file defines, and all that derives from it agrees."""

import inspect
from importlib import import_module

import pytest
from checkpoints import small_config

import minibert
from minibert import auto
from minibert.config import PreTrainedConfig
from minibert.families import FAMILIES, HEADS, public_names, purpose_of
from minibert.models.base import PreTrainedModel
from minibert.pipelines import TASKS

MODEL_TYPES = list(FAMILIES)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_an_entry_is_what_the_file_defines(model_type):
    family = FAMILIES[model_type]
    module = import_module(f"minibert.families.{family.module}")
    classes = {name: value for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    classes = {name: value for name, value in classes.items() if inspect.isclass(value)}
    models = {name for name, value in classes.items() if issubclass(value, PreTrainedModel)}
    configs = [name for name, value in classes.items() if issubclass(value, PreTrainedConfig)]
    assert models == {family.prefix + head for head in family.heads}
    assert configs == [f"{family.prefix}Config"] and classes[configs[0]].model_type == model_type
    for name in models:
        assert classes[name].config_class is classes[configs[0]] and classes[name].encoder_names is module.NAMES


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_class_of_a_family_is_public_and_has_its_auto_class(model_type):
    family = FAMILIES[model_type]
    for head in ("Config", *family.heads):
        assert getattr(minibert, family.prefix + head) is family.load(head)
    for end in ("Tokenizer", "TokenizerFast") if family.tokenizer else ():
        assert issubclass(getattr(minibert, family.prefix + end), minibert.PreTrainedTokenizerBase)
    for head in family.heads:
        auto_class = getattr(minibert, "AutoModel" + head.removeprefix("Model"))
        assert auto_class.class_for(family.load("Config")) is family.load(head)
    assert minibert.AutoModelForPreTraining.classes()[model_type] is family.load(family.pretraining_head)


def test_every_head_is_for_something_and_every_task_has_its_head():
    assert {head for family in FAMILIES.values() for head in family.heads} == set(HEADS)
    assert set(TASKS) - set(HEADS.values()) == {"zero-shot-classification"}  # which takes a text classifier
    assert {name for name in minibert.__all__ if name.startswith("AutoModel")} == {
        name for name, value in vars(auto).items() if name.startswith("AutoModel")
    }


@pytest.mark.parametrize(
    "name, purpose",
    [
        ("BertForTokenClassification", "token-classification"),
        ("MyBertForTokenClassification", "token-classification"),
        ("DistilBertModel", "feature-extraction"),
        ("ElectraModel", "feature-extraction"),
        ("ElectraForMaskedLM", "fill-mask"),
        ("BertForPreTraining", "fill-mask"),
        ("ElectraForPreTraining", "replaced token detection"),
        ("BertForMultipleChoice", "multiple choice"),
        ("SomethingForQuestionAnswering", "question-answering"),
        ("GPT2Model", None),
        ("", None),
    ],
)
def test_the_name_of_a_class_says_what_it_is_for(name, purpose):
    assert purpose_of(name) == purpose


@pytest.mark.parametrize("model_type", MODEL_TYPES)
@pytest.mark.parametrize("other", MODEL_TYPES)
def test_a_model_takes_its_own_family_s_configuration_only(model_type, other):
    model_class, config = FAMILIES[model_type].load("Model"), small_config(other)
    if other == model_type:
        assert model_class(config).config == config
        return
    with pytest.raises(minibert.InputTypeError, match=f"wants a {FAMILIES[model_type].prefix}Config; got"):
        model_class(config)


def test_no_public_name_is_there_twice():
    names = [name for name, _, _ in public_names()]
    assert len(names) == len(set(names))
