"""minibert/families/roberta.py against transformers, in process.

tests/support/checkpoints.py has a small RoBERTa, so test_models.py, test_heads.py, test_config.py and others run it too.
"""

import numpy as np
import pytest
from checkpoints import small_config, small_model
from parity import batch, check_loads_back, check_names, compare, compare_all, padded_anywhere

from minibert import ConfigError, InputError
from minibert.families import FAMILIES

CLASSES = [f"Roberta{head}" for head in FAMILIES["roberta"].heads]
SIZES = {"max_position_embeddings": 66, "type_vocab_size": 1}


@pytest.mark.parity
@pytest.mark.parametrize("kernels", ["reference", "naive", "fast"])
@pytest.mark.parametrize("name", CLASSES)
def test_every_class_gives_the_same_numbers_under_the_same_names(pair, name, kernels):
    theirs, ours = pair(name, kernels, **SIZES)
    for length in (7, 64):
        compare_all(theirs, ours, padded_anywhere(name, length=length))
    check_names(theirs, ours, padded_anywhere(name))


@pytest.mark.parity
@pytest.mark.parametrize("name", CLASSES)
def test_transformers_loads_back_every_class_saved_here(pair, name, tmp_path):
    _, ours = pair(name, **SIZES)
    check_loads_back(ours, tmp_path / "saved", padded_anywhere(name))


@pytest.mark.parity
@pytest.mark.parametrize("pad_token_id", [0, 1, 5])
def test_positions_count_from_any_padding_id(pair, pad_token_id):
    theirs, ours = pair("RobertaModel", pad_token_id=pad_token_id, max_position_embeddings=32)
    inputs = padded_anywhere("RobertaModel")
    inputs["input_ids"][::2, ::3] = pad_token_id
    compare(theirs, ours, inputs)


@pytest.mark.parametrize("kernels", ["fast", "int8", "bf16"])
def test_a_row_has_the_same_bits_alone_and_in_a_batch(kernels):
    model = small_model("roberta", "Model", kernels=kernels, hidden_size=64, intermediate_size=96)
    inputs = batch(8, length=16, vocabulary=33)
    together = model(**inputs).last_hidden_state
    for row, length in enumerate(inputs["attention_mask"].sum(axis=1)):
        alone = model(inputs["input_ids"][row : row + 1, :length]).last_hidden_state[0]
        assert np.array_equal(together[row, :length], alone)


@pytest.mark.parametrize("pad_token_id", [None, -1, 33, True, "1"])
def test_a_padding_id_that_is_none_is_a_config_error(pad_token_id):
    with pytest.raises(ConfigError, match="pad_token_id must be from 0 to 32, because positions count from it"):
        small_config("roberta", pad_token_id=pad_token_id)


def test_positions_that_are_too_few_are_a_config_error():
    with pytest.raises(ConfigError, match=r"max_position_embeddings must be 3 or more, .* \+ 1; got 2"):
        small_config("roberta", max_position_embeddings=2)
    model = small_model("roberta", "Model")
    model(np.full((1, 16), 7))
    with pytest.raises(InputError, match="a sequence may have 16 tokens, the positions this model has; got 17"):
        model(np.full((1, 17), 7))
