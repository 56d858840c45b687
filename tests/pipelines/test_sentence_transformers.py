"""minibert/sentence_transformers: SentenceTransformer beside the class that it stands in for."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from checkpoints import make_checkpoint, rewrite_config

from minibert import AutoModel, AutoTokenizer, ConfigError, InputError, InputTypeError, MinibertWarning, SentenceEncoder
from minibert.pipelines.sentence_config import ACTIVATIONS, POOLINGS, Dense, SentenceConfig
from minibert.sentence_transformers import SentenceTransformer, SimilarityFunction
from minibert.sentence_transformers.loading import with_organization

TOLERANCE = 1e-5
TEXTS = ["a good movie", "the film is not bad !", "", "i love this very great course . i hate it , it is dull", "good"]
MEAN = SentenceConfig()
PROMPTS = {"query": "good ", "passage": "a film ", "other": "bad "}


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip("sentence_transformers")


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def dense(inputs, outputs, activation, seed=0):
    random = np.random.default_rng(seed)
    weight, bias = random.normal(0, 0.5, (outputs, inputs)), random.normal(0, 0.5, outputs)
    return Dense(weight.astype(np.float32), bias.astype(np.float32), activation)


def write_folder(folder, sentence_config=MEAN, architecture="bert"):
    """A tiny model with random weights and a sentence_config, as a folder of sentence-transformers."""
    source = make_checkpoint(folder.with_name(f"{folder.name}-parts"), architecture, "Model")
    model, tokenizer = AutoModel.from_pretrained(source, kernels="reference"), AutoTokenizer.from_pretrained(source)
    SentenceEncoder(model, tokenizer, sentence_config).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "model")


@pytest.fixture
def model(folder):
    """With kernels that give a text the same bits in every batch."""
    return load(folder, model_kwargs={"kernels": "fast"})


def load(folder, **options):
    return SentenceTransformer(folder, **{"model_kwargs": {"kernels": "reference"}, **options})


def distance(one, other):
    one, other = np.asarray(one), np.asarray(other)
    assert one.shape == other.shape and one.dtype == other.dtype
    return np.abs(one - other).max(initial=0)


# --- The same vectors ------------------------------------------------------------------------------------------------

SENTENCE_CONFIGS = [
    *[SentenceConfig(poolings=(name,), include_prompt=include) for name in POOLINGS for include in (True, False)],
    SentenceConfig(poolings=("cls", "max", "mean"), normalize=True),
    *[SentenceConfig(dense=(dense(8, 5, activation),)) for activation in ACTIVATIONS],
    SentenceConfig(dense=(dense(8, 6, "Tanh"), dense(6, 4, "Identity")), normalize=True, truncate_dim=3),
    SentenceConfig(normalize=True, longest=5, similarity="euclidean", truncate_dim=4),
]


@pytest.mark.parity
@pytest.mark.parametrize("sentence_config", SENTENCE_CONFIGS, ids=range(len(SENTENCE_CONFIGS)))
def test_a_folder_written_here_gives_the_same_vectors_there(sentence_config, tmp_path, library):
    sentence_config = sentence_config._replace(prompts=PROMPTS, prompt_name="other")
    ours, theirs = (
        load(write_folder(tmp_path / "m", sentence_config)),
        library.SentenceTransformer(str(tmp_path / "m"), device="cpu"),
    )
    for options in ({}, {"prompt_name": "query"}, {"prompt": "the film "}, {"normalize_embeddings": True, "truncate_dim": 2}):
        for name in ("encode", "encode_query", "encode_document"):
            assert distance(getattr(ours, name)(TEXTS, **options), getattr(theirs, name)(TEXTS, **options)) < TOLERANCE
    for name in ("prompts", "default_prompt_name", "max_seq_length", "similarity_fn_name", "truncate_dim"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.get_embedding_dimension() == theirs.get_embedding_dimension() == ours.encode("a").shape[0]


@pytest.mark.parity
@pytest.mark.parametrize("architecture", ["bert", "distilbert", "electra"])
def test_a_folder_written_there_gives_the_same_vectors_here(architecture, tmp_path, library):
    sentence_config = SentenceConfig(
        ("cls", "mean"), dense=(dense(16, 5, "GELU"),), normalize=True, prompts=PROMPTS, truncate_dim=4
    )
    theirs = library.SentenceTransformer(str(write_folder(tmp_path / "m", sentence_config, architecture)), device="cpu")
    theirs.max_seq_length = 6
    theirs.save_pretrained(str(tmp_path / "saved"))
    ours = load(tmp_path / "saved")
    assert distance(ours.encode(TEXTS), theirs.encode(TEXTS)) < TOLERANCE and ours.max_seq_length == 6
    assert ours.encoder.sentence_config._replace(dense=()) == sentence_config._replace(
        dense=(), longest=None, prompts=ours.prompts
    )


@pytest.mark.parity
def test_the_trained_model_gives_the_same_in_every_form(minilm, library, torch):
    ours, theirs = SentenceTransformer(str(minilm)), library.SentenceTransformer(str(minilm), device="cpu")
    forms = [{}, {"convert_to_tensor": True}, {"convert_to_numpy": False}, {"truncate_dim": 7, "normalize_embeddings": True}]
    forms += [{"precision": precision} for precision in ("float32", None, "binary", "ubinary")]
    forms += [{"precision": "binary", "convert_to_tensor": True}, {"precision": "ubinary", "convert_to_numpy": False}]
    for options in forms:
        for inputs in (TEXTS, TEXTS[0], tuple(TEXTS), np.array(TEXTS)):
            result, expected = ours.encode(inputs, **options), theirs.encode(inputs, **options)
            assert type(result) is type(expected)
            pairs = zip(result, expected) if isinstance(expected, list) else [(result, expected)]
            assert all(type(one) is type(other) and distance(one, other) < TOLERANCE for one, other in pairs)


@pytest.mark.parity
@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_8_bits_are_theirs_but_for_components_between_two_levels(precision, minilm, library):
    ours, theirs = SentenceTransformer(str(minilm)), library.SentenceTransformer(str(minilm), device="cpu")
    texts = [f"{text} {count}" for text in TEXTS for count in range(20)]
    result, expected = ours.encode(texts, precision=precision), theirs.encode(texts, precision=precision)
    assert result.dtype == expected.dtype and np.mean(result != expected) < 1e-3
    with pytest.raises(InputError, match=f"one embedding has no ranges for {precision}"):
        ours.encode("a text", precision=precision)
    with pytest.warns(MinibertWarning, match=f"the ranges for {precision} come from 5 embeddings"):
        ours.encode(TEXTS, precision=precision)


@pytest.mark.parity
@pytest.mark.parametrize("prompt", [None, "the film "])
def test_everything_on_the_way_to_a_vector(prompt, tmp_path, library, torch):
    sentence_config = SentenceConfig(dense=(dense(8, 5, "Tanh"),), normalize=True, include_prompt=False)
    ours, theirs = (
        load(write_folder(tmp_path / "m", sentence_config)),
        library.SentenceTransformer(str(tmp_path / "m"), device="cpu"),
    )
    result, expected = (
        one.encode(TEXTS, output_value="token_embeddings", prompt=prompt, batch_size=2) for one in (ours, theirs)
    )
    assert [tokens.shape for tokens in result] == [tuple(tokens.shape) for tokens in expected]
    assert all(distance(*pair) < TOLERANCE for pair in zip(result, expected)) and type(result[0]) is np.ndarray
    result, expected = (one.encode(TEXTS, output_value=None, prompt=prompt, truncate_dim=3) for one in (ours, theirs))
    for one, other in zip(result, expected):
        assert set(one) == set(other) - {"modality", "prompt_length"}
        real = other["attention_mask"].numpy().astype(bool)
        assert all(distance(one[name], other[name]) == 0 for name in ("input_ids", "token_type_ids", "attention_mask"))
        assert distance(one["sentence_embedding"], other["sentence_embedding"]) < TOLERANCE
        assert distance(one["token_embeddings"][real], other["token_embeddings"].numpy()[real]) < TOLERANCE
    tensors = ours.encode("a", output_value=None, convert_to_tensor=True)
    assert isinstance(tensors, dict) and all(isinstance(value, torch.Tensor) for value in tensors.values())


@pytest.mark.parity
def test_similarities_come_back_as_what_went_in(model, torch):
    vectors = model.encode(TEXTS)
    for name in ("cosine", "dot", "euclidean", "manhattan", SimilarityFunction.DOT_PRODUCT):
        model.similarity_fn_name = name
        each, pairs = model.similarity(vectors, vectors[:2]), model.similarity_pairwise(vectors, vectors[::-1])
        assert type(each) is type(pairs) is np.ndarray and each.shape == (5, 2) and pairs.shape == (5,)
        assert np.allclose(model.similarity(vectors, vectors[::-1]).diagonal(), pairs, atol=1e-5)
        assert isinstance(model.similarity(torch.tensor(vectors), vectors), torch.Tensor)
        assert np.array_equal(each, model.encoder.similarity(vectors, vectors[:2]))


# --- Prompts and settings --------------------------------------------------------------------------------------------

CHANGES = [
    {},
    {"prompts": {"passage": "bad ", "new": "very "}},
    {"prompts": {"query": None, "document": "the "}, "default_prompt_name": "document"},
    {"default_prompt_name": "query", "similarity_fn_name": "dot", "truncate_dim": 3},
]


@pytest.mark.parity
@pytest.mark.parametrize("changes", CHANGES, ids=range(len(CHANGES)))
@pytest.mark.parametrize("saved", [{}, PROMPTS], ids=["no prompts", "prompts"])
def test_the_constructors_settings_go_over_the_folders(changes, saved, tmp_path, library):
    write_folder(tmp_path / "m", SentenceConfig(prompts=saved, prompt_name="other" if saved else None, similarity="manhattan"))
    ours, theirs = load(tmp_path / "m", **changes), library.SentenceTransformer(str(tmp_path / "m"), device="cpu", **changes)
    for name in ("prompts", "default_prompt_name", "similarity_fn_name", "truncate_dim"):
        assert getattr(ours, name) == getattr(theirs, name)
    for name in ("encode", "encode_query", "encode_document"):
        assert distance(getattr(ours, name)(TEXTS), getattr(theirs, name)(TEXTS)) < TOLERANCE
    for model in (ours, theirs):
        model.prompts = {"corpus": "bad ", "passage": "very "}
        model.default_prompt_name = None
    assert distance(ours.encode_document(TEXTS), theirs.encode_document(TEXTS)) < TOLERANCE
    assert distance(ours.encode_query(TEXTS), theirs.encode_query(TEXTS)) < TOLERANCE


@pytest.mark.parity
def test_whether_a_prompt_is_pooled_may_be_set(tmp_path, library):
    ours, theirs = load(write_folder(tmp_path / "m")), library.SentenceTransformer(str(tmp_path / "m"), device="cpu")
    before = ours.encode(TEXTS, prompt="the film ")
    for model in (ours, theirs):
        model.set_pooling_include_prompt(False)
    assert distance(ours.encode(TEXTS, prompt="the film "), theirs.encode(TEXTS, prompt="the film ")) < TOLERANCE
    assert distance(ours.encode(TEXTS, prompt="the film "), before) > 1e-3


def test_truncation_holds_within_a_block_and_is_undone(model):
    before = model.encode(TEXTS)
    for truncate in (model.truncate_embeddings, model.truncate_sentence_embeddings):
        with pytest.raises(ZeroDivisionError), truncate(3):
            assert np.array_equal(model.encode(TEXTS), before[:, :3]) and model.get_sentence_embedding_dimension() == 3
            assert np.array_equal(model.encode(TEXTS, truncate_dim=5), before[:, :5])
            raise ZeroDivisionError
        assert np.array_equal(model.encode(TEXTS), before) and model.truncate_dim is None
    assert np.array_equal(model.encode(TEXTS, truncate_dim=100), before) and model.encode([], truncate_dim=3).shape == (0, 3)


def test_a_folders_truncation_is_the_encoders_too(tmp_path):
    encoder = SentenceEncoder.from_pretrained(write_folder(tmp_path / "m", SentenceConfig(normalize=True, truncate_dim=3)))
    assert encoder.encode(TEXTS).shape == (5, 3) and encoder.encode("a").shape == (3,) and encoder.encode([]).shape == (0, 3)
    lengths = np.linalg.norm(encoder.encode(TEXTS), axis=1)
    assert (lengths < 0.999).any() and np.allclose(np.linalg.norm(encoder.encode(TEXTS, normalize=True), axis=1), 1)
    settings = tmp_path / "m" / "config_sentence_transformers.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "truncate_dim": 0}))
    with pytest.raises(ConfigError, match="truncate_dim must be a whole number, 1 or more; .* has 0"):
        SentenceEncoder.from_pretrained(tmp_path / "m")


def test_what_a_torch_module_does_does_nothing(model, torch):
    assert model.to("cpu") is model.to(torch.device("cpu")).to(dtype=torch.float32).to(torch.float32) is model
    assert model.eval() is model.cpu().float().train(False) is model and model.device == torch.device("cpu")
    with pytest.warns(MinibertWarning, match="computes in float32"):
        model.to(torch.float16)


def test_texts_are_tokenized_with_the_models_limit(model):
    model.max_seq_length = 4
    assert model.get_max_seq_length() == 4 and model.tokenize(TEXTS)["input_ids"].shape == (5, 4)
    assert model.tokenizer.decode(model.preprocess(["film"], prompt="a ")["input_ids"][0]) == "[CLS] a film [SEP]"


# --- Pools of threads ------------------------------------------------------------------------------------------------


def test_a_pool_gives_the_same_bits_in_order(model):
    texts = [f"{'very ' * (count % 7)}good {text}" for count in range(9) for text in TEXTS]
    expected = model.encode(texts)
    pool = model.start_multi_process_pool(["cpu", "cpu", "cpu"])
    assert len(pool["processes"]) == 3 and isinstance(pool["executor"], ThreadPoolExecutor)
    for size in (None, 1, 4, 1000):
        assert np.array_equal(model.encode(texts, pool=pool, chunk_size=size, batch_size=2), expected)
    assert np.array_equal(model.encode_multi_process(texts, pool, chunk_size=10), expected)
    assert np.array_equal(model.encode(texts[0], pool=pool), expected[0]) and model.encode([], pool=pool).shape == (0, 8)
    tokens = model.encode(texts, pool=pool, output_value="token_embeddings")
    assert len(tokens) == len(texts) and all(map(np.array_equal, tokens, model.encode(texts, output_value="token_embeddings")))
    assert np.array_equal(model.encode(iter(texts), device=["cpu", "cpu"]), expected)
    with pytest.raises(InputTypeError, match="each input is a text; got int"):
        model.encode([*texts, 5], pool=pool)
    model.stop_multi_process_pool(pool)
    with pytest.raises(InputError, match="the pool was stopped; start another"):
        model.encode(texts, pool=pool)
    SentenceTransformer.stop_multi_process_pool(model.start_multi_process_pool())


# --- Loading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parity
def test_names_without_an_organization_are_those_of_the_library(library, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    first = [name for name in library.util.ORIGINAL_TRANSFORMER_MODELS if name.startswith(("bert", "distilbert"))]
    assert len(first) > 20
    for name in (*first, "BERT-base-uncased", "folder", "minibert-sst2", "own/model", tmp_path, None, 5):
        assert with_organization(name, "sentence-transformers") is name
    for name in ("all-MiniLM-L6-v2", "bert-base-nli-mean-tokens", "distilbert-base-nli-stsb-mean-tokens"):
        assert with_organization(name, "sentence-transformers") == f"sentence-transformers/{name}"


def test_options_of_the_model_the_tokenizer_and_the_configuration(folder):
    kwargs = {"kernels": "naive", "attn_implementation": "sdpa", "device_map": "auto", "torch_dtype": "float32"}
    model = SentenceTransformer(folder, model_kwargs=kwargs, config_kwargs={"layer_norm_eps": 1e-3})
    assert model.encoder.model.kernels.preset == "naive" and model.encoder.model.config.layer_norm_eps == 1e-3
    half = SentenceTransformer(folder, model_kwargs={"dtype": "bfloat16"}, processor_kwargs={"do_lower_case": False})
    assert half.encoder.model.kernels.preset == "bf16" and not half.tokenizer.do_lower_case
    assert SentenceTransformer(folder, tokenizer_kwargs={"model_max_length": 7}).max_seq_length == 7
    with pytest.warns(MinibertWarning, match="torch_dtype is float16; minibert computes in float32"):
        SentenceTransformer(folder, model_kwargs={"torch_dtype": "float16"})


def test_where_a_model_is_looked_for(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path / "home"))
    with pytest.raises(OSError, match="all-MiniLM-L6-v2") as error:
        SentenceTransformer("all-MiniLM-L6-v2", local_files_only=True)
    assert str(tmp_path / "home") in str(error.value) or "sentence-transformers/all-MiniLM-L6-v2" in str(error.value)
    assert load(folder, cache_folder=tmp_path, revision=None, token=None, use_auth_token=None, model_card_data=None)


def test_code_of_a_checkpoint_is_never_run(folder):
    assert load(folder, trust_remote_code=True)
    rewrite_config(folder, auto_map={"AutoModel": "modeling.Own"})
    assert load(folder)
    with pytest.raises(InputError, match="runs no code of a checkpoint, and .* has its own"):
        load(folder, trust_remote_code=True)
    modules = folder / "modules.json"
    modules.write_text(modules.read_text().replace("sentence_transformers.models.Pooling", "own_code.Pooling"))
    with pytest.raises(InputError, match="runs no code of a checkpoint, and .* names 'own_code.Pooling'"):
        load(folder, trust_remote_code=True)


REFUSED = [
    ({"device": "cuda"}, "computes on the CPU only: device must be 'cpu'"),
    ({"device": 0}, "CPU only"),
    ({"backend": "onnx"}, "backend must be 'torch'.*got 'onnx'"),
    ({"backend": "openvino"}, "backend must be 'torch'"),
    ({"modules": []}, "modules must be None.*Pass the name or the folder"),
    ({"model_kwargs": {"device_map": "cuda:0"}}, "device_map must be"),
    ({"model_kwargs": {"attn_implementation": "flash_attention_2"}}, "attn_implementation must be None, 'eager' or 'sdpa'"),
    ({"model_kwargs": {"dtype": "float64"}}, "dtype must be 'float32'"),
    ({"model_kwargs": {"provider": "CUDAExecutionProvider"}}, "model_kwargs may have kernels, .*; got 'provider'"),
    ({"model_kwargs": {"export": True}}, "export must be None or False"),
    ({"model_kwargs": ["dtype"]}, "model_kwargs must map names of arguments to their values"),
    ({"processor_kwargs": {}, "tokenizer_kwargs": {}}, "tokenizer_kwargs is the former name of processor_kwargs; got both"),
    ({"token": "a", "use_auth_token": "b"}, "use_auth_token is the former name of token; got both"),
    ({"similarity_fn_name": "maxsim"}, "the similarity is one of"),
    ({"default_prompt_name": "none"}, "prompt_name is one of the model's prompts"),
    ({"prompts": ["a"]}, "prompts must map names to texts"),
    ({"truncate_dim": 0}, "truncate_dim must be an integer from 1 up"),
    ({"no_such_option": 1}, "unexpected keyword argument 'no_such_option'"),
]


@pytest.mark.parametrize("options, message", REFUSED, ids=str)
def test_an_argument_that_would_change_the_answer_is_refused(options, message, folder):
    with pytest.raises(InputError, match=message):
        SentenceTransformer(folder, **options)


REFUSED_CALLS = [
    ({"device": "cuda"}, "CPU only"),
    ({"device": ["cpu", "cuda"]}, "CPU only: each of target_devices must be"),
    ({"output_value": "word_embeddings"}, "output_value must be 'sentence_embedding' or 'token_embeddings' or None"),
    ({"precision": "int4"}, "precision is one of float32, int8"),
    ({"precision": "binary", "output_value": None}, "precision is of embeddings; with output_value=None"),
    ({"batch_size": 0}, "batch_size must be"),
    ({"show_progress_bar": "yes"}, "show_progress_bar must be True or False"),
    ({"convert_to_tensor": "yes"}, "convert_to_tensor must be True or False"),
    ({"truncate_dim": -1}, "truncate_dim must be an integer from 1 up; got -1"),
    ({"pool": {"input": None}}, r"pool must be what start_multi_process_pool\(\) returned"),
    ({"pool": None, "device": ["cpu"], "chunk_size": 0}, "chunk_size must be an integer from 1 up"),
    ({"prompt_name": "none"}, "prompt_name is one of the model's prompts"),
    ({"sentences": ["a"]}, "sentences is the former name of inputs; got both"),
    ({"task": "query"}, "unexpected keyword argument 'task'"),
]


@pytest.mark.parametrize("options, message", REFUSED_CALLS, ids=str)
@pytest.mark.parametrize("name", ["encode", "encode_query"])
def test_an_argument_of_encode_that_would_change_the_answer_is_refused(name, options, message, model):
    with pytest.raises(InputError, match=message):
        getattr(model, name)(TEXTS, **options)


def test_other_methods_refuse_what_would_change_the_answer(model, tmp_path):
    calls = {
        "CPU only": (lambda: model.to("cuda"), lambda: model.cuda(), lambda: model.start_multi_process_pool(["cuda:0"])),
        "stays float32; got bfloat16. Load it with": (lambda: model.to(dtype="bfloat16"),),
        "does not train models of sentence-transformers": (lambda: model.train(),),
        "safe_serialization must be True": (lambda: model.save(tmp_path / "saved", safe_serialization=False),),
        "target_devices must be a list of devices": (lambda: model.start_multi_process_pool("cpu"),),
    }
    for message, functions in calls.items():
        for function in functions:
            with pytest.raises(InputError, match=message):
                function()
    assert not (tmp_path / "saved").exists()


def test_the_former_name_of_inputs_is_accepted(model):
    assert np.array_equal(model.encode(sentences=TEXTS), model.encode(TEXTS))
    assert np.array_equal(model.encode_query(sentences=TEXTS), model.encode(inputs=TEXTS, show_progress_bar=True))
    assert np.array_equal(model.encode_document(TEXTS, None, "the film ", 2), model.encode(TEXTS, None, "the film "))
    with pytest.raises(InputTypeError, match="encode takes a text or a list of texts; got NoneType"):
        model.encode()
    for row in (("a text", "its pair"), {"image": "a.png"}, b"bytes", None):
        with pytest.raises(InputTypeError, match="each input is a text; got"):
            model.encode(["a text", row])


def test_torch_is_imported_for_tensors_only(folder):
    code = f"""
import sys
sys.modules["torch"] = None  # as if it were not installed
from minibert import InputError
from minibert.sentence_transformers import SentenceTransformer, util
model = SentenceTransformer({str(folder)!r}, device="cpu", model_kwargs={{"kernels": "reference"}}).to("cpu")
vectors = model.encode(["a", "b"])
model.similarity(vectors, vectors), util.semantic_search(vectors, vectors), model.encode("a", output_value=None)
assert model.device == "cpu"
for options in ({{"convert_to_tensor": True}}, {{"convert_to_numpy": False}}):
    try:
        model.encode("a", **options)
    except InputError as error:
        print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.count("tensors need torch, which cannot be imported") == 2


def test_a_saved_folder_has_no_more_files_than_it_needs(folder, tmp_path):
    model = load(folder)
    model.save(str(tmp_path / "saved"), create_model_card=True, model_name="mine")
    files = sorted(str(path.relative_to(tmp_path / "saved")) for path in (tmp_path / "saved").rglob("*") if path.is_file())
    assert "modules.json" in files and "1_Pooling/config.json" in files and "README.md" not in files
    assert np.array_equal(load(tmp_path / "saved").encode(TEXTS), model.encode(TEXTS))
    shutil.rmtree(tmp_path / "saved" / "1_Pooling")
    with pytest.raises(OSError, match="1_Pooling/config.json"):
        load(tmp_path / "saved")
