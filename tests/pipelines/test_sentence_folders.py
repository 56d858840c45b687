"""Folders of sentence-transformers, old ones too: loaded, written in 8 bits, and their settings changed afterwards."""

import json
import shutil

import numpy as np
import pytest
from checkpoints import make_checkpoint
from hub_cache import COMMIT, write_cache
from hub_client import write
from sentence_folders import TEXTS, cosines, write_dense, write_sentence_config

from minibert import ConfigError, InputError, InputTypeError, SentenceEncoder, VocabularyError, pipeline
from minibert.quantize import quantize

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")


def make_folder(folder, **settings):
    """A sentence model with everything that is beside a Transformer."""
    pooling = {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}
    write_sentence_config(make_checkpoint(folder, "bert", "Model"), pooling, limits={"max_seq_length": 7}, **settings)
    write_dense(folder, 8, 5)
    steps = json.loads((folder / "modules.json").read_text())
    steps.append({"idx": 3, "name": "3", "path": "3_Normalize", "type": "sentence_transformers.models.Normalize"})
    (folder / "modules.json").write_text(json.dumps(steps))
    return folder


def make_old(folder, inner="0_Transformer"):
    """Move a model's own files into a folder of their own, as they were before sentence-transformers 2.0."""
    (folder / inner).mkdir()
    for path in [*folder.glob("*.json"), *folder.glob("*.txt"), *folder.glob("*.safetensors")]:
        if path.name not in ("modules.json", "config_sentence_transformers.json"):
            path.rename(folder / inner / path.name)
    steps = json.loads((folder / "modules.json").read_text())
    steps[0]["path"] = inner
    (folder / "modules.json").write_text(json.dumps(steps))
    (folder / "config.json").write_text('{"__version__": "0.3.9"}')
    return folder


# --- Before 2.0 ------------------------------------------------------------------------------------------------------


def test_a_folder_from_before_2_0_gives_the_vectors_of_a_new_one(tmp_path):
    new = SentenceEncoder.from_pretrained(make_folder(tmp_path / "model"))
    expected = new.encode(TEXTS)
    old = SentenceEncoder.from_pretrained(make_old(tmp_path / "model"))
    assert old.max_seq_length == new.max_seq_length == 7 and np.array_equal(old.encode(TEXTS), expected)


def test_a_folder_from_before_2_0_is_read_from_the_cache_of_the_hub(tmp_path):
    folder = make_folder(tmp_path / "model")
    expected = SentenceEncoder.from_pretrained(folder).encode(TEXTS)
    cached = write_cache(tmp_path, "tiny/old", COMMIT)
    snapshot = cached / "snapshots" / COMMIT
    shutil.rmtree(snapshot)
    shutil.copytree(make_old(folder), snapshot)
    files = [str(path.relative_to(snapshot)) for path in snapshot.rglob("*") if path.is_file()]
    write(cached / "trees", {f"{COMMIT}.json": json.dumps({"format_version": 1, "files": dict.fromkeys(files, {})}).encode()})
    encoder = SentenceEncoder.from_pretrained("tiny/old", cache_dir=tmp_path, local_files_only=True)
    assert np.array_equal(encoder.encode(TEXTS), expected)


@pytest.mark.parity
def test_sentence_transformers_gives_the_same_for_a_folder_from_before_2_0(tmp_path):
    library = pytest.importorskip("sentence_transformers")
    folder = make_old(make_folder(tmp_path / "model"))
    theirs = library.SentenceTransformer(str(folder), device="cpu")
    assert theirs.max_seq_length == 7
    assert np.abs(SentenceEncoder.from_pretrained(folder).encode(TEXTS) - theirs.encode(TEXTS)).max() < 1e-5


# --- In 8 bits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
def test_a_quantized_folder_keeps_every_step_the_prompts_and_the_limit(old, tmp_path):
    prompts = {"prompts": {"query": "find: "}, "default_prompt_name": "query", "similarity_fn_name": "dot"}
    folder = make_folder(tmp_path / "float", prompts=prompts)
    folder = make_old(folder) if old else folder
    quantize(folder, tmp_path / "int8")
    exact, computed, small = (
        SentenceEncoder.from_pretrained(path, kernels=kernels)
        for path, kernels in ((folder, "reference"), (folder, "int8"), (tmp_path / "int8", "auto"))
    )
    assert small.model.kernels.preset == "int8" and small.max_seq_length == 7
    assert small.sentence_config._replace(dense=()) == exact.sentence_config._replace(dense=())
    assert cosines(small.encode(TEXTS), computed.encode(TEXTS)).min() > 0.99  # the file rounds embeddings too
    assert small.encode(TEXTS).shape == (5, 5) and cosines(small.encode(TEXTS), exact.encode(TEXTS)).min() > 0.99


def test_the_trained_model_gives_the_same_vectors_in_8_bits_up_to_their_error(minilm, tmp_path):
    quantize(minilm, tmp_path / "int8")
    exact, small = SentenceEncoder.from_pretrained(minilm), SentenceEncoder.from_pretrained(tmp_path / "int8")
    texts = [text for text in TEXTS if text]
    assert small.max_seq_length == exact.max_seq_length == 256
    assert cosines(small.encode(texts), exact.encode(texts)).min() > 0.99
    assert np.allclose(np.linalg.norm(small.encode(texts), axis=1), 1, atol=1e-6)


def test_a_folder_whose_steps_cannot_be_followed_is_not_quantized(tmp_path):
    write_sentence_config(make_checkpoint(tmp_path / "float", "bert", "Model"), steps=("Transformer", "Pooling", "Asym"))
    with pytest.raises(ConfigError, match="has Asym in '2_Asym'"):
        quantize(tmp_path / "float", tmp_path / "int8")
    assert not (tmp_path / "int8").exists()


# --- Settings --------------------------------------------------------------------------------------------------------


@pytest.fixture
def encoder(tmp_path):
    settings = {"prompts": {"a": "good ", "b": "bad "}, "default_prompt_name": "a"}
    return SentenceEncoder.from_pretrained(
        write_sentence_config(make_checkpoint(tmp_path / "m", "bert", "Model"), prompts=settings)
    )


@pytest.mark.parity
@pytest.mark.parametrize("name", SIMILARITIES)
def test_every_similarity_is_that_of_sentence_transformers_from_the_folder_or_set_later(name, encoder, tmp_path):
    library = pytest.importorskip("sentence_transformers")
    one, other = np.random.default_rng(0).normal(size=(2, 40, 8)).astype(np.float32)
    folder = make_folder(tmp_path / "named", prompts={"similarity_fn_name": name})
    theirs = library.SentenceTransformer(str(folder), device="cpu")
    assert theirs.similarity_fn_name == name
    encoder.similarity_fn_name = name
    for ours in (encoder, SentenceEncoder.from_pretrained(folder)):
        assert ours.similarity_fn_name == name
        for left, right in ((one, other[:3]), (one[0], other), (one[:0], other)):
            expected = theirs.similarity(left, right).numpy() if len(left) else np.zeros((0, 40))
            scores = ours.similarity(left, right)
            assert scores.dtype == np.float32 and scores.shape == expected.shape and np.allclose(scores, expected, atol=2e-5)
    encoder.similarity_fn_name = library.SimilarityFunction.DOT_PRODUCT
    assert encoder.similarity_fn_name == "dot"


def test_prompts_and_the_limit_that_are_set_on_the_encoder_are_used(encoder):
    plain = {prompt: encoder.encode(prompt + "movie", prompt="") for prompt in ("good ", "bad ", "great ", "")}
    encoder.default_prompt_name = "b"
    assert np.array_equal(encoder.encode("movie"), plain["bad "])
    encoder.prompts["b"] = "great "
    assert np.array_equal(encoder.encode("movie"), plain["great "])
    encoder.prompts = {"query": "good "}
    assert np.array_equal(encoder.encode("movie"), plain[""]) and np.array_equal(encoder.encode_query("movie"), plain["good "])
    encoder.max_seq_length = np.int64(3)
    assert np.array_equal(encoder.encode("movie is bad"), encoder.encode("movie"))


WRONG = {
    "similarity_fn_name": ("angle", np.arange(2), 5),
    "prompts": (["a"], {"a": 5}, {5: "a"}, None),
    "default_prompt_name": ("c", np.arange(2), ["a"]),
    "max_seq_length": (2, 17, 10**30, None, "5", True, np.arange(2)),
}


@pytest.mark.parametrize("name, value", [(name, value) for name in WRONG for value in WRONG[name]], ids=str)
def test_a_setting_that_means_nothing_is_refused_and_changes_nothing(name, value, encoder):
    before = getattr(encoder, name)
    with pytest.raises(InputError, match="similarity is one of|prompts must map|prompt_name is one of|max_seq_length must be"):
        setattr(encoder, name, value)
    assert getattr(encoder, name) == before


# --- What is encoded and compared ------------------------------------------------------------------------------------


class Rows:
    """No more of a sequence than a data set of torch has."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return ["a movie", "bad"][index]


def test_texts_come_in_any_form(encoder):
    expected = encoder.encode(["a movie", "bad"])
    for texts in (Rows(), iter(["a movie", "bad"]), {"a movie": 1, "bad": 2}.keys(), np.array(["a movie", "bad"])):
        assert np.array_equal(encoder.encode(texts), expected)
    for texts in (np.array("bad"), {"bad"}, {"bad": 1}, 5, b"bad"):
        with pytest.raises(InputTypeError, match="encode takes a text or a list of texts"):
            encoder.encode(texts)


@pytest.mark.parametrize("vectors", ["text", None, [[1], [2, 3]], np.zeros((2, 2, 2)), 3.0, [object()], {}], ids=str)
def test_what_is_no_vector_is_refused(vectors, encoder):
    with pytest.raises(InputError, match="vectors must be"):
        encoder.similarity(vectors, np.eye(3))


def test_a_model_or_a_tokenizer_that_is_none_is_refused(encoder):
    for wrong in (None, "name", np.arange(2), encoder):
        with pytest.raises(
            InputTypeError,
            match="a SentenceEncoder has a BertModel or DistilBertModel or ElectraModel or RobertaModel or LongformerModel or MPNetModel; got",
        ):
            SentenceEncoder(wrong, encoder.tokenizer)
        with pytest.raises(InputTypeError, match="tokenizer must be a loaded one; got"):
            SentenceEncoder(encoder.model, wrong)


# --- A vocabulary that is larger than the model's --------------------------------------------------------------------


@pytest.mark.parametrize("head", ["Model", "ForSequenceClassification"])
def test_a_tokenizer_with_an_id_that_the_model_has_no_row_for_is_refused_at_once(head, tmp_path):
    folder = make_checkpoint(tmp_path, "bert", head)
    load = SentenceEncoder.from_pretrained if head == "Model" else lambda folder: pipeline(model=str(folder))
    load(folder)
    with (folder / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("surplus\n")
    with pytest.raises(VocabularyError, match="below the model's vocabulary of 33 rows; the id of 'surplus' is 33. Is the"):
        load(folder)
