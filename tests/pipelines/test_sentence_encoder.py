"""minibert/pipelines/sentence_encoder.py: a sentence-transformers folder, and the vectors it gives."""

import json
import logging
import shutil

import numpy as np
import pytest
from checkpoints import make_checkpoint
from damaged_files import SENTENCE_CONFIGS
from sentence_folders import TEXTS, cosines, write_dense, write_sentence_config

from minibert import ConfigError, InputError, InputTypeError, ModelNotFoundError, SentenceEncoder, WeightsError

POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


@pytest.fixture
def folder(tmp_path):
    return write_sentence_config(make_checkpoint(tmp_path / "model", "bert", "Model"))


# --- Parity ----------------------------------------------------------------------------------------------------------


def vectors_by_formula(folder, texts, pooling, length, start=0):
    """transformers' hidden states of one text at a time, and the published formulas of pooling."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    vectors = []
    for text in texts:
        with torch.no_grad():
            hidden = model(**tokenizer(text, truncation=True, max_length=length, return_tensors="pt"))[0][0].numpy()
        position = np.arange(1, len(hidden) + 1)[start:, None]
        hidden = hidden[start:]
        vectors.append(
            {
                "cls": hidden[0],
                "max": hidden.max(0),
                "mean": hidden.mean(0),
                "lasttoken": hidden[-1],
                "mean_sqrt_len_tokens": hidden.sum(0) / len(hidden) ** 0.5,
                "weightedmean": (hidden * position).sum(0) / position.sum(),
            }[pooling]
        )
    return np.array(vectors)


@pytest.mark.parity
def test_the_trained_model_gives_the_vectors_of_the_published_formula(minilm):
    encoder = SentenceEncoder.from_pretrained(minilm)
    vectors, expected = encoder.encode(TEXTS), vectors_by_formula(minilm, TEXTS, "mean", 256)
    assert vectors.dtype == np.float32 and vectors.shape == (5, 384) and encoder.max_seq_length == 256
    assert cosines(vectors, expected).min() > 0.999999
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    as_pooled = encoder.encode(TEXTS, normalize=False)
    assert cosines(as_pooled, vectors).min() > 0.999999 and np.linalg.norm(as_pooled, axis=1).min() > 1.1
    closeness = encoder.similarity(vectors[0], vectors)[0]
    assert closeness[1] > closeness[3]


@pytest.mark.parity
@pytest.mark.parametrize("include_prompt", [True, False])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_way_of_pooling(minilm, tmp_path, pooling, include_prompt):
    shutil.copytree(minilm, tmp_path, dirs_exist_ok=True)
    settings = {"pooling_mode": pooling, "include_prompt": include_prompt}
    write_sentence_config(tmp_path, settings, limits={"max_seq_length": 20}, prompts={"prompts": {"query": "find: "}})
    encoder = SentenceEncoder.from_pretrained(tmp_path)
    expected = vectors_by_formula(tmp_path, ["find: " + text for text in TEXTS], pooling, 20, 0 if include_prompt else 3)
    for vectors in (encoder.encode(TEXTS, prompt_name="query"), encoder.encode(TEXTS, prompt="find: ", batch_size=2)):
        assert np.abs(vectors - expected).max() < 1e-5 * np.abs(expected).max()


def test_sentence_transformers_gives_the_same(minilm, tmp_path):
    reason = "pip install sentence-transformers to compare with it; the tests around hold its formulas"
    library = pytest.importorskip("sentence_transformers", reason=reason)
    theirs = library.SentenceTransformer(str(minilm), device="cpu")
    assert cosines(SentenceEncoder.from_pretrained(minilm).encode(TEXTS), theirs.encode(TEXTS)).min() > 0.999999
    write_dense(shutil.copytree(minilm, tmp_path / "m"), 384, 32)
    for prompts in ({}, {"query": "find: "}, {"document": "the "}, {"query": "find: ", "document": "the ", "passage": "a "}):
        settings = {"prompts": {**prompts, "other": "bad "}, "default_prompt_name": "other"}
        (tmp_path / "m" / "config_sentence_transformers.json").write_text(json.dumps(settings))
        ours, theirs = (
            SentenceEncoder.from_pretrained(tmp_path / "m"),
            library.SentenceTransformer(str(tmp_path / "m"), device="cpu"),
        )
        for name in ("encode", "encode_query", "encode_document"):
            assert np.abs(getattr(ours, name)(TEXTS) - getattr(theirs, name)(TEXTS)).max() < 1e-5


@pytest.mark.parity
@pytest.mark.parametrize("activation", ["Tanh", "Identity", "ReLU", "GELU", "SiLU", "Sigmoid"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_dense_step_is_a_linear_layer_and_its_activation(folder, activation, bias):
    torch = pytest.importorskip("torch")
    pooled = SentenceEncoder.from_pretrained(folder).encode(TEXTS)
    tensors = write_dense(folder, 8, 5, activation, bias)
    encoder = SentenceEncoder.from_pretrained(folder)
    layer = torch.nn.functional.linear(*(torch.tensor(x) for x in (pooled, *tensors.values())))
    expected = getattr(torch.nn, activation)()(layer).numpy()
    vectors = encoder.encode(TEXTS)
    assert vectors.dtype == np.float32 and np.abs(vectors - expected).max() < 1e-5
    assert np.allclose(encoder.encode(TEXTS[0]), vectors[0], atol=1e-6) and encoder.encode([]).shape == (0, 5)


def test_dense_steps_follow_each_other_and_a_normalization_follows_them(folder):
    write_dense(folder, 8, 5)
    steps = json.loads((folder / "modules.json").read_text())
    write_dense(folder, 5, 3, index=3)
    steps += [{"path": "3_Dense", "type": "x.Dense"}, {"path": "4_Normalize", "type": "x.Normalize"}]
    (folder / "modules.json").write_text(json.dumps(steps))
    vectors = SentenceEncoder.from_pretrained(folder).encode(TEXTS)
    assert vectors.shape == (5, 3) and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


DENSE = [
    ({"out_features": 6}, WeightsError, r"wrong shape: linear.weight \(5, 8\) for \(6, 8\)"),
    ({"in_features": 2**31 - 1}, WeightsError, "wrong shape: linear.weight"),
    ({"in_features": 2**40}, ConfigError, "in_features and out_features must be whole numbers"),
    ({"out_features": True}, ConfigError, "in_features and out_features must be whole numbers"),
    ({"activation_function": "evil.module.Run"}, ConfigError, "activation_function is one of Identity, .*has Run"),
    ({"activation_function": ["x"] * 1000}, ConfigError, "activation_function is one of"),
    ({"use_residual": True}, ConfigError, "use_residual of a Dense step must be False; .* has True"),
    ({"module_input_name": "token_embeddings"}, ConfigError, "module_input_name of a Dense step must be 'sentence_embedding'"),
]


@pytest.mark.parametrize("changes, error, message", DENSE, ids=str)
def test_a_dense_step_that_cannot_be_followed_is_refused(changes, error, message, folder):
    write_dense(folder, 8, 5, **changes)
    with pytest.raises(error, match=message):
        SentenceEncoder.from_pretrained(folder)


def test_a_dense_step_for_other_vectors_or_without_its_weights_is_refused(folder):
    write_dense(folder, 9, 5)
    with pytest.raises(ConfigError, match="in_features must be 8, what it is given; got 9"):
        SentenceEncoder.from_pretrained(folder)
    (folder / "2_Dense" / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match="must have a file '2_Dense/model.safetensors'; there is none"):
        SentenceEncoder.from_pretrained(folder)


# --- Calls -----------------------------------------------------------------------------------------------------------


def test_a_text_gives_a_vector_and_a_list_a_matrix_whatever_the_batch(folder):
    encoder = SentenceEncoder.from_pretrained(folder)
    texts = ["a good movie", "bad", ""]
    vectors = encoder.encode(texts)
    assert vectors.shape == (3, 8) and encoder.encode([]).shape == (0, 8) and encoder.encode("bad").shape == (8,)
    for size in (1, 2, 3):
        assert np.allclose(encoder.encode(texts, batch_size=size), vectors, atol=1e-5)
    assert np.allclose(np.linalg.norm(encoder.encode(texts, normalize=True), axis=1), 1, atol=1e-6)


def test_old_keys_of_pooling_are_joined_in_their_order(folder):
    write_sentence_config(
        folder, {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True, "pooling_mode_max_tokens": False}
    )
    encoder = SentenceEncoder.from_pretrained(folder)
    assert encoder.sentence_config.poolings == ("cls", "mean") and encoder.encode("bad").shape == (16,)
    assert encoder.encode([]).shape == (0, 16)


def test_letters_are_lowered_and_vectors_normalized_where_the_folder_says_so(folder):
    write_sentence_config(
        folder, steps=("Transformer", "Pooling", "Normalize"), limits={"do_lower_case": True, "max_seq_length": 6}
    )
    encoder = SentenceEncoder.from_pretrained(folder)
    encoder.tokenizer.do_lower_case = False
    assert encoder.max_seq_length == 6 and np.array_equal(encoder.encode("BAD MOVIE"), encoder.encode("bad movie"))
    assert np.isclose(np.linalg.norm(encoder.encode("bad")), 1)


def test_a_checkpoint_without_a_sentence_config_gives_the_mean_and_says_so(tmp_path, caplog):
    make_checkpoint(tmp_path, "distilbert", "Model")
    with caplog.at_level(logging.WARNING, "minibert"):
        encoder = SentenceEncoder.from_pretrained(tmp_path)
    assert "has no modules.json: its vectors are the mean of their tokens" in caplog.text
    assert encoder.encode(["bad"]).shape == (1, 8) and encoder.max_seq_length == 16


def test_similarity_is_the_cosine_or_the_dot_product(folder):
    encoder = SentenceEncoder.from_pretrained(folder)
    one, other = np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[6.0, 8.0]])
    assert np.allclose(encoder.similarity(one, other), [[1], [0]]) and np.allclose(
        encoder.similarity(one, other, "dot"), [[50], [0]]
    )
    write_sentence_config(folder, prompts={"similarity_fn_name": "dot"})
    assert np.allclose(SentenceEncoder.from_pretrained(folder).similarity(one[0], other), [[50]])
    with pytest.raises(InputError, match="the similarity is one of cosine, dot, euclidean, manhattan; got 'angle'"):
        encoder.similarity(one, other, "angle")
    with pytest.raises(InputError, match="vectors must be of one length; got 2 and 3"):
        encoder.similarity(one, np.ones((1, 3)))


def test_the_models_own_prompt_is_used_unless_another_is_named(folder):
    write_sentence_config(folder, prompts={"prompts": {"a": "good ", "b": "bad "}, "default_prompt_name": "a"})
    encoder = SentenceEncoder.from_pretrained(folder)
    plain = {prompt: encoder.encode(prompt + "movie", prompt="") for prompt in ("good ", "bad ", "")}
    assert np.array_equal(encoder.encode("movie"), plain["good "])
    assert np.array_equal(encoder.encode("movie", prompt_name="b"), plain["bad "])
    with pytest.raises(InputError, match="prompt_name is one of the model's prompts, 'a', 'b'; got 'c'"):
        encoder.encode("movie", prompt_name="c")


def test_queries_and_documents_have_prompts_of_their_own(folder):
    write_sentence_config(folder, prompts={"prompts": {"query": "good ", "x": "bad "}, "default_prompt_name": "x"})
    encoder = SentenceEncoder.from_pretrained(folder)
    plain = {prompt: encoder.encode(prompt + "movie", prompt="") for prompt in ("good ", "bad ", "")}
    assert np.array_equal(encoder.encode_query("movie"), plain["good "])
    assert np.array_equal(encoder.encode_query(["movie"], prompt_name="x")[0], plain["bad "])
    assert np.array_equal(encoder.encode_document("movie"), plain[""])  # not the default: that is a prompt of another kind
    assert np.array_equal(encoder.encode_document(["movie"], prompt="bad ", normalize=False)[0], plain["bad "])


@pytest.mark.parametrize("wrong", [5, None, b"a", {"a": 1}])
def test_what_is_no_text_is_refused(wrong, folder):
    encoder = SentenceEncoder.from_pretrained(folder)
    with pytest.raises(InputTypeError, match="encode takes a text or a list of texts; got"):
        encoder.encode(wrong)
    with pytest.raises(InputTypeError, match="each input is a text; got"):
        encoder.encode(["a", wrong])
    with pytest.raises(InputError, match="batch_size must be"):
        encoder.encode("a", batch_size=0)


@pytest.mark.parametrize("sentence_config, message", SENTENCE_CONFIGS, ids=str)
def test_a_sentence_config_that_cannot_be_followed_is_refused(sentence_config, message, folder):
    write_sentence_config(folder, **sentence_config)
    with pytest.raises(ConfigError, match=message):
        SentenceEncoder.from_pretrained(folder)


@pytest.mark.parametrize("content", ["{}", "[5]", "", '[{"path": 5, "type": 7}]', '[{"path": "../x", "type": "a.Pooling"}]'])
def test_a_list_of_steps_that_is_none_is_refused(content, folder):
    (folder / "modules.json").write_text(content)
    with pytest.raises(ConfigError):
        SentenceEncoder.from_pretrained(folder)


def test_a_step_in_a_folder_elsewhere_is_not_opened(folder):
    modules = [{"path": "", "type": "a.Transformer"}, {"path": "../1_Pooling", "type": "a.Pooling"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(InputError, match="named without a folder"):
        SentenceEncoder.from_pretrained(folder)
