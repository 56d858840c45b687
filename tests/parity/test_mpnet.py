"""minibert/families/mpnet.py and its tokenizer against transformers, in process.

tests/support/checkpoints.py has a small MPNet, so test_models.py, test_heads.py, test_config.py and others run it too.
"""

import json
import random

import numpy as np
import pytest
from checkpoints import make_checkpoint, small_config, small_model
from parity import batch, check_loads_back, check_names, compare_all, padded_anywhere, torch, transformers

import minibert
from minibert import ConfigError, InputError, KernelError, MPNetTokenizer
from minibert.families import FAMILIES
from minibert.models.relative_bias import bucket_of, relative_bias

CLASSES = [f"MPNet{head}" for head in FAMILIES["mpnet"].heads]
VOCAB = [
    "<s>",
    "<pad>",
    "</s>",
    "[UNK]",
    "<mask>",
    "want",
    "##want",
    "##ed",
    "wa",
    "un",
    "runn",
    "##ing",
    ",",
    "a",
    "b",
    "##b",
    "Ġ",
    "##Ġ",
    "Ġa",
    "é",
    "e",
]
FRAGMENTS = [
    "want",
    "<mask>",
    "<MASK>",
    " ",
    "  ",
    "\t",
    "Ġ",
    "a",
    "b",
    "é",
    "e\u0301",
    "un",
    "ed",
    "<s>",
    "</s>",
    "\0",
    "\xa0",
    "x y",
    ",",
]


@pytest.mark.parity
@pytest.mark.parametrize("kernels", ["reference", "naive", "fast"])
@pytest.mark.parametrize("name", CLASSES)
def test_every_class_gives_the_same_numbers_under_the_same_names(pair, name, kernels):
    theirs, ours = pair(name, kernels, max_position_embeddings=64)
    for length in (7, 60):
        compare_all(theirs, ours, padded_anywhere(name, length=length))
    check_names(theirs, ours, padded_anywhere(name))


@pytest.mark.parity
@pytest.mark.parametrize("name", CLASSES)
def test_transformers_loads_back_every_class_saved_here(pair, name, tmp_path):
    _, ours = pair(name)
    check_loads_back(ours, tmp_path / "saved", padded_anywhere(name))


@pytest.mark.parity
def test_hidden_states_attentions_and_the_callers_positions_are_theirs(pair):
    theirs, ours = pair("MPNetModel")
    inputs = batch(3, padded=False) | {"position_ids": np.arange(7)[None] + [[2], [5], [9]]}
    with torch.no_grad():
        theirs.set_attn_implementation("eager")
        expected = theirs(
            **{key: torch.tensor(value) for key, value in inputs.items()}, output_attentions=True, output_hidden_states=True
        )
    output = ours(**inputs, output_attentions=True, output_hidden_states=True)
    for field in ("hidden_states", "attentions"):
        for one, other in zip(output[field], expected[field], strict=True):
            np.testing.assert_allclose(one, other.numpy(), atol=1e-5)


@pytest.mark.parity
def test_buckets_are_theirs_at_every_distance():
    from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

    offsets = np.arange(-1100, 1101)
    assert bucket_of(offsets).tolist() == MPNetEncoder.relative_position_bucket(torch.tensor(offsets)).tolist()


def test_the_bias_depends_on_the_distance_alone():
    table = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)
    bias = relative_bias(table, 9)
    assert bias.shape == (3, 9, 9)
    for query in range(9):
        for key in range(9):
            assert bias[:, query, key].tolist() == table[bucket_of(np.array(key - query))].tolist()


@pytest.mark.parametrize("kernels", ["fast", "int8", "bf16"])
def test_a_sequence_has_the_same_bits_alone_in_a_batch_and_packed(kernels, tmp_path):
    model = small_model("mpnet", "Model", kernels=kernels, hidden_size=64, intermediate_size=96)
    tokenizer = MPNetTokenizer.from_pretrained(make_checkpoint(tmp_path, "mpnet"))
    texts = ["the movie is good", "i hate this film, it is very bad!", "great", "the course is not dull"]
    rows = model(**tokenizer(texts, padding=True, return_tensors="np")).last_hidden_state
    together = model(tokenizer.encode_packed(texts)).last_hidden_state
    for row, same, text in zip(rows, together, texts):
        alone = model(**tokenizer([text], return_tensors="np")).last_hidden_state[0]
        assert np.array_equal(row[: len(alone)], alone) and np.array_equal(same[: len(alone)], alone)


def test_an_attention_that_takes_no_bias_is_refused_with_those_that_do():
    with pytest.raises(KernelError, match="takes it: naive, register, bf16(, amx_bf16)?; got online"):
        small_model("mpnet", kernels={"attention": "online"})


def test_positions_and_buckets_that_are_too_few_are_a_config_error():
    with pytest.raises(ConfigError, match="max_position_embeddings must be 3 or more; got 2"):
        small_config("mpnet", max_position_embeddings=2)
    with pytest.raises(ConfigError, match="relative_attention_num_buckets must be 32"):
        small_config("mpnet", relative_attention_num_buckets=16)


def test_a_text_may_have_two_tokens_less_than_there_are_positions(tmp_path):
    model, folder = small_model("mpnet", "Model"), make_checkpoint(tmp_path, "mpnet")
    assert model.config.architecture.max_tokens == MPNetTokenizer.from_pretrained(folder).model_max_length == 16
    model(np.full((1, 16), 7))
    with pytest.raises(InputError, match="a sequence may have 16 tokens, the positions this model has; got 17"):
        model(np.full((1, 17), 7))


# --- The tokenizer ---------------------------------------------------------------------------------------------------


def check_same_encodings(theirs, ours, count):
    pick = random.Random(0)
    options = dict(return_offsets_mapping=True, return_special_tokens_mask=True)
    for index in range(count):
        texts = ["".join(pick.choice(FRAGMENTS) for _ in range(pick.randint(0, 9))) for _ in range(1 + index % 2)]
        expected, encoded = theirs(*texts, **options), ours(*texts, **options)
        assert encoded.tokens() == expected.tokens() and encoded.word_ids() == expected.word_ids(), texts
        assert dict(encoded) == dict(expected), texts
        if len(texts) == 1:
            packed = ours.encode_packed(texts)
            assert packed.ids.tolist() == expected["input_ids"], texts
            assert list(map(tuple, packed.offsets.tolist())) == expected["offset_mapping"], texts


@pytest.mark.parity
@pytest.mark.parametrize("added", [[], ["x y"]], ids=["no added token", "a token with a space"])
@pytest.mark.parametrize("options", [{}, {"do_lower_case": False}, {"strip_accents": False}, {"mask_token": "want"}], ids=str)
def test_ids_and_trimmed_offsets_are_theirs(options, added):
    vocab = {token: token_id for token_id, token in enumerate(VOCAB)}
    theirs, ours = transformers.MPNetTokenizer(vocab, **options), MPNetTokenizer(vocab, **options)
    theirs.add_tokens(added)
    ours.add_tokens(added)
    check_same_encodings(theirs, ours, 500)


@pytest.mark.parity
def test_each_loads_what_the_other_saved(tmp_path):
    vocab = {token: token_id for token_id, token in enumerate(VOCAB)}
    theirs = transformers.MPNetTokenizer(vocab, do_lower_case=False)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = minibert.AutoTokenizer.from_pretrained(tmp_path / "theirs")
    assert type(ours) is MPNetTokenizer
    check_same_encodings(theirs, ours, 100)
    ours.save_pretrained(tmp_path / "ours")
    check_same_encodings(transformers.AutoTokenizer.from_pretrained(tmp_path / "ours"), ours, 100)
    check_same_encodings(theirs, minibert.PreTrainedTokenizerFast(tokenizer_file=tmp_path / "ours" / "tokenizer.json"), 100)
    assert (
        json.loads((tmp_path / "ours" / "tokenizer.json").read_text("utf-8"))["post_processor"]["type"] == "RobertaProcessing"
    )


@pytest.mark.parity
@pytest.mark.parametrize("trim_offsets", [False, True])
@pytest.mark.parametrize("add_prefix_space", [False, True])
def test_a_roberta_template_in_a_tokenizer_json_is_read_with_its_flags(trim_offsets, add_prefix_space, tmp_path):
    vocab = {token: token_id for token_id, token in enumerate(VOCAB)}
    transformers.MPNetTokenizer(vocab, do_lower_case=False).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    content["post_processor"] |= {"trim_offsets": trim_offsets, "add_prefix_space": add_prefix_space}
    path.write_text(json.dumps(content), encoding="utf-8")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(path))
    check_same_encodings(theirs, minibert.PreTrainedTokenizerFast(tokenizer_file=path), 300)


def test_a_text_without_the_mask_goes_through_the_cache_of_segments():
    tokenizer = MPNetTokenizer({token: token_id for token_id, token in enumerate(VOCAB)})
    tokenizer("wa want, <mask>")
    assert "wa" not in tokenizer._pipeline.ids_cache
    tokenizer("wa want,")
    assert {"wa", "want,"} <= set(tokenizer._pipeline.ids_cache)
