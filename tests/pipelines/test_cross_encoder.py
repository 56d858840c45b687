"""minibert/sentence_transformers: CrossEncoder beside the class that it stands in for; and Reranker, the class behind it."""

import json
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle

import numpy as np
import pytest
from checkpoints import MODEL_TYPES, ROBERTA_LIKE, WORDS, make_checkpoint, rewrite_config

from minibert import ConfigError, InputError, InputTypeError, MinibertWarning, ModelFileError, Reranker
from minibert.convert import convert
from minibert.pipelines import streaming
from minibert.pipelines.score_activation import Activation, scores_of
from minibert.pipelines.sentence_config import ACTIVATIONS
from minibert.quantize import quantize
from minibert.sentence_transformers import CrossEncoder

TOLERANCE = 1e-5
PAIRS = [
    ("a good movie", "the film is not bad !"),
    ("", "good"),
    ("is it dull ?", "i love this very great course . i hate it , it is dull . this film was very bad , it was not good"),
    ("the movie the movie the movie the movie the movie the movie", "a film"),
    ("good", ""),
    ("a good movie", "wait"),
]
QUERY, TEXTS = PAIRS[0][0], [text for _, text in PAIRS]
FORMER, NEWER = "sbert_ce_default_activation_function", "sentence_transformers"
IDENTITY, TANH = "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.Tanh"


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip("sentence_transformers")


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def make_folder(folder, model_type="bert", labels=1, **config):
    make_checkpoint(folder, model_type, num_labels=labels)
    rewrite_config(folder, **config)
    return folder


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "model")


@pytest.fixture
def model(folder):
    return load(folder)


def load(folder, kernels="reference", **options):
    return CrossEncoder(folder, model_kwargs={"kernels": kernels}, **options)


def original(library, folder, **options):
    return library.CrossEncoder(str(folder), device="cpu", **options)


def distance(one, other):
    one, other = np.asarray(one), np.asarray(other)
    assert one.shape == other.shape and one.dtype == other.dtype
    return np.abs(one - other).max(initial=0)


def assert_same_ranking(ours, theirs):
    assert [list(row) for row in ours] == [list(row) for row in theirs]
    for row, expected in zip(ours, theirs):
        assert abs(row.pop("score") - expected.pop("score")) < TOLERANCE and row == expected


# --- The same scores -------------------------------------------------------------------------------------------------

CONFIGS = {
    "no activation": {},
    "the former key": {FORMER: IDENTITY},
    "the newer key": {NEWER: {"activation_fn": IDENTITY, "version": "4.1.0"}},
    "both": {NEWER: {"activation_fn": TANH}, FORMER: IDENTITY},
    "the newer key without it": {NEWER: {"version": "4.1.0"}, FORMER: TANH},
    "an empty one": {NEWER: {"activation_fn": None}, FORMER: TANH},
}


@pytest.mark.parity
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("labels", [1, 3])
def test_scores_are_those_of_sentence_transformers(labels, config, tmp_path, library, torch):
    folder = make_folder(tmp_path / "m", labels=labels, **config)
    ours, theirs = load(folder), original(library, folder)
    assert ours.num_labels == theirs.num_labels and ours.max_length == theirs.max_seq_length
    assert repr(ours.activation_fn) == repr(theirs.activation_fn)
    for options in (
        {},
        {"apply_softmax": True},
        {"batch_size": 2, "activation_fn": torch.nn.Tanh()},
        {"activation_fn": torch.nn.Softmax(dim=-1), "apply_softmax": True},
        {"activation_fn": torch.nn.Identity(), "prompt": "the "},
    ):
        assert distance(ours.predict(PAIRS, **options), theirs.predict(PAIRS, **options)) < TOLERANCE


@pytest.mark.parity
@pytest.mark.parametrize("model_type", MODEL_TYPES)
@pytest.mark.parametrize("max_length", [None, 9, 16])
def test_every_family_scores_and_ranks_the_same_at_any_length(model_type, max_length, tmp_path, library):
    options = {} if max_length is None and model_type not in ROBERTA_LIKE else {"max_length": max_length or 16}
    folder = make_folder(tmp_path / "m", model_type)
    ours, theirs = load(folder, "fast", **options), original(library, folder, **options)
    assert ours.max_length == theirs.max_seq_length
    assert distance(ours.predict(PAIRS), theirs.predict(PAIRS)) < TOLERANCE
    for more in ({}, {"top_k": 2}, {"return_documents": True, "top_k": 100}):
        assert_same_ranking(ours.rank(QUERY, TEXTS, **more), theirs.rank(QUERY, TEXTS, **more))


@pytest.mark.parity
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_is_torchs(name, tmp_path, library):
    module = "linear" if name == "Identity" else "activation"
    folder = make_folder(tmp_path / "m", labels=2, **{NEWER: {"activation_fn": f"torch.nn.modules.{module}.{name}"}})
    ours = load(folder)
    assert ours.activation_fn == Activation(name)
    assert distance(ours.predict(PAIRS), original(library, folder).predict(PAIRS)) < TOLERANCE


@pytest.mark.parity
def test_every_form_of_inputs_and_results_is_the_same(model, folder, library, torch):
    theirs = original(library, folder)
    forms = [PAIRS, tuple(PAIRS), [list(pair) for pair in PAIRS], np.array(PAIRS), PAIRS[0], list(PAIRS[0]), np.array(PAIRS[0])]
    for options in ({}, {"convert_to_tensor": True}, {"convert_to_numpy": False}):
        for inputs in forms:
            result, expected = model.predict(inputs, **options), theirs.predict(inputs, **options)
            assert type(result) is type(expected)
            assert distance(result, expected) < TOLERANCE
    for inputs in (iter(PAIRS), np.array(PAIRS, object), dict.fromkeys(PAIRS)):
        if not isinstance(inputs, dict):
            assert np.array_equal(model.predict(inputs), model.predict(PAIRS))
    assert model.predict([]).shape == (0,) and model.rank(QUERY, []) == []


@pytest.mark.parity
def test_prompts_and_pools_are_those_of_the_original(folder, library):
    prompts = {"prompts": {"query": "good ", "other": "bad "}, "default_prompt_name": "other"}
    ours, theirs = load(folder, "fast", **prompts), original(library, folder, **prompts)
    assert ours.prompts == theirs.prompts and ours.default_prompt_name == theirs.default_prompt_name
    for options in ({}, {"prompt": "a "}, {"prompt_name": "query"}, {"prompt": ""}):
        expected = theirs.predict(PAIRS, **options)
        assert distance(ours.predict(PAIRS, **options), expected) < TOLERANCE
        assert distance(ours.predict(PAIRS, device=["cpu"] * 2, chunk_size=2, **options), expected) < TOLERANCE
    pool = ours.start_multi_process_pool(["cpu", "cpu"])
    assert ours.rank(QUERY, TEXTS, pool=pool, chunk_size=1) == ours.rank(QUERY, TEXTS)
    ours.stop_multi_process_pool(pool)


@pytest.mark.parity
@pytest.mark.parametrize("labels", [1, 3])
def test_a_folder_saved_here_or_there_scores_the_same(labels, tmp_path, library, torch):
    options = {"max_length": 9, "prompts": {"query": "good "}, "default_prompt_name": "query"}
    theirs = original(library, make_folder(tmp_path / "m", labels=labels), activation_fn=torch.nn.Tanh(), **options)
    theirs.save_pretrained(str(tmp_path / "there"), create_model_card=False)
    ours = load(tmp_path / "there")
    assert distance(ours.predict(PAIRS), theirs.predict(PAIRS)) < TOLERANCE
    ours.activation_fn = torch.nn.Sigmoid()
    ours.max_length = 8
    ours.save_pretrained(tmp_path / "here")
    again, back = load(tmp_path / "here"), original(library, tmp_path / "here")
    assert repr(again.activation_fn) == repr(back.activation_fn) == "Sigmoid()"
    assert again.max_length == back.max_seq_length == 8
    assert again.prompts == back.prompts == {"query": "good "} and again.default_prompt_name == "query"
    assert distance(again.predict(PAIRS), back.predict(PAIRS)) < TOLERANCE
    (tmp_path / "here" / "modules.json").unlink()  # as versions before 5 read it
    assert repr(load(tmp_path / "here").activation_fn) == repr(original(library, tmp_path / "here").activation_fn)


@pytest.mark.parity
def test_former_names_of_arguments_mean_the_same(folder, library, torch):
    ours = CrossEncoder(
        model_name=str(folder),
        automodel_args={"kernels": "reference"},
        default_activation_function=torch.nn.Identity(),
        tokenizer_args={"model_max_length": 10},
        classifier_dropout=0.1,
    )
    theirs = original(library, folder, max_length=10, activation_fn=torch.nn.Identity())
    assert distance(ours.predict(sentences=PAIRS, num_workers=0), theirs.predict(PAIRS)) < TOLERANCE
    fct = ours.predict(PAIRS, activation_fct=torch.nn.Sigmoid())
    assert distance(fct, theirs.predict(PAIRS, activation_fn=torch.nn.Sigmoid())) < TOLERANCE
    assert ours.rank(QUERY, TEXTS, convert_to_tensor=True, apply_softmax=True, num_workers=2) == ours.rank(QUERY, TEXTS)
    positional = CrossEncoder(str(folder), 1, 10, torch.nn.Identity(), "cpu")
    assert distance(positional.predict(PAIRS), theirs.predict(PAIRS)) < TOLERANCE


# --- The same bits ---------------------------------------------------------------------------------------------------


def many_pairs(count, seed=0):
    chance = random.Random(seed)
    return [tuple(" ".join(chance.choices(WORDS[5:], k=chance.randint(0, 7))) for _ in range(2)) for _ in range(count)]


@pytest.mark.parametrize("kernels", ["fast", "int8", "bf16"])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_score_is_the_same_bits_in_any_list(model_type, kernels, tmp_path, monkeypatch):
    reranker = Reranker.from_pretrained(make_folder(tmp_path / "m", model_type), kernels=kernels)
    pairs, chance = many_pairs(60), random.Random(1)
    alone = {pair: reranker.predict(pair).tobytes() for pair in pairs}
    for _ in range(12):
        some, size = chance.sample(pairs, chance.randint(1, len(pairs))), chance.choice((1, 2, 7, 32, 1000))
        monkeypatch.setattr(streaming, "BATCH_TOKENS", chance.choice((5, 50, 4096)))
        scores = reranker.predict(some, batch_size=size)
        assert [score.tobytes() for score in scores] == [alone[pair] for pair in some]
    query, texts = "a good movie", [text for _, text in pairs]
    for row in reranker.rank(query, texts):
        assert np.float32(row["score"]).tobytes() == reranker.predict((query, texts[row["corpus_id"]])).tobytes()


@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("name", [*ACTIVATIONS, "a function of NumPy", "torch.nn.Sigmoid", "torch.softmax"])
def test_no_activation_changes_a_bit_for_its_neighbors(name, labels):
    function = Activation(name) if name in ACTIVATIONS else np.tanh
    if name.startswith("torch"):
        torch = pytest.importorskip("torch")
        function = torch.nn.Sigmoid() if "nn" in name else partial(torch.softmax, dim=1)
    logits = np.random.default_rng(0).normal(0, 3, (101, labels)).astype(np.float32)
    for apply_softmax in (False, True):
        scores = scores_of(logits, function, apply_softmax)
        alone = [scores_of(logits[index : index + 1], function, apply_softmax)[0] for index in range(len(logits))]
        assert [row.tobytes() for row in scores] == [row.tobytes() for row in alone]


def test_a_score_is_the_same_bits_on_other_threads(folder):
    model = load(folder, "fast")
    expected = model.predict(PAIRS)
    with ThreadPoolExecutor(4) as executor:
        assert all(np.array_equal(scores, expected) for scores in executor.map(model.predict, [PAIRS] * 8))


def test_equal_scores_keep_their_order(model):
    assert [row["corpus_id"] for row in model.rank("good", ["bad"] * 5 + [""])][:5] in ([0, 1, 2, 3, 4], [5, 0, 1, 2, 3])


def test_no_more_pairs_are_read_ahead_than_a_chunk(folder, monkeypatch):
    monkeypatch.setattr(streaming, "CHUNK_ROWS", 4)
    reranker, read, read_at = Reranker.from_pretrained(folder, kernels="reference"), [0], []
    monkeypatch.setattr(
        reranker, "logits", lambda pairs, *options: read_at.append(read[0]) or np.zeros((len(pairs), 1), np.float32)
    )

    def rows():
        for pair in many_pairs(10):
            read[0] += 1
            yield pair

    assert reranker.predict(rows()).shape == (10,) and read_at == [4, 8, 10]


# --- What a caller passes --------------------------------------------------------------------------------------------


def test_a_callers_function_gets_the_logits_of_one_pair(model, torch):
    seen = []
    model.predict(PAIRS, activation_fn=lambda logits: seen.append(logits) or logits)
    assert [(type(logits), logits.shape) for logits in seen] == [(np.ndarray, (1, 1))] * len(PAIRS)

    class Doubled(torch.nn.Module):
        def forward(self, logits):
            assert isinstance(logits, torch.Tensor) and logits.shape == (1, 1)
            return logits.squeeze() * 2

    logits = model.predict(PAIRS, activation_fn=torch.nn.Identity())
    assert distance(model.predict(PAIRS, activation_fn=Doubled()), logits * 2) == 0
    assert distance(model.predict(PAIRS, activation_fn=torch.tanh), np.tanh(logits)) < TOLERANCE
    with pytest.raises(ZeroDivisionError):
        model.predict(PAIRS, activation_fn=lambda logits: 1 / 0)


LENGTHS = cycle((2, 3))
BAD_FUNCTIONS = [
    (3, InputTypeError, "activation_fn must be a function of logits .1, labels.; got 3"),
    (Activation, InputTypeError, "Pass an object of the class, such as torch.nn.Sigmoid"),
    (lambda logits: None, InputTypeError, "what activation_fn returns must be an array of numbers"),
    (lambda logits: "good", InputTypeError, "what activation_fn returns must be an array of numbers"),
    (lambda logits: np.zeros(next(LENGTHS)), InputError, "must have one shape for every pair; got .2,., .3,."),
]


@pytest.mark.parametrize("function, error, message", BAD_FUNCTIONS, ids=range(len(BAD_FUNCTIONS)))
def test_a_function_that_gives_no_scores_is_refused(function, error, message, model):
    with pytest.raises(error, match=message):
        model.predict(many_pairs(40), activation_fn=function)


def test_a_ranking_needs_one_score_for_each_text(model, tmp_path):
    with pytest.raises(InputError, match="activation_fn must return one number for one logit; got scores of shape .2,."):
        model.rank(QUERY, TEXTS, activation_fn=lambda logits: [[1.0, 2.0]])
    several = load(make_folder(tmp_path / "several", labels=3))
    assert several.predict(PAIRS).shape == (len(PAIRS), 3)
    for rank in (several.rank, several.reranker.rank):
        with pytest.raises(InputError, match="a model with one label.*this one has 3: LABEL_0, LABEL_1, LABEL_2"):
            rank(QUERY, TEXTS)


BAD_INPUTS = [
    ("a text", "predict takes a pair of texts, .query, text., or a list of them; got str"),
    (["a", "b", "c"], "each input is a pair of texts, .query, text.; got list"),
    ([("a", "b"), "a text"], "each input is a pair of texts, .query, text.; got str"),
    ([("a", None)], "each input is a text; got NoneType"),
    ([{"query": "a"}], "each input is a pair"),
    ({("a", "b")}, "predict takes a pair of texts"),
    (None, "predict takes a pair of texts"),
]


@pytest.mark.parametrize("inputs, message", BAD_INPUTS)
def test_inputs_that_are_no_pairs_are_refused(inputs, message, model):
    for predict in (model.predict, model.reranker.predict):
        with pytest.raises(InputTypeError, match=message):
            predict(inputs)


BAD_CALLS = [
    (lambda m: m.rank("a", "b"), "documents must be a list of texts; got str"),
    (lambda m: m.rank(["a"], ["b"]), "each input is a text; got list"),
    (lambda m: m.rank("a", ["b"], top_k=0), "top_k must be an integer from 1 up; got 0"),
    (lambda m: m.predict(PAIRS, batch_size=0), "batch_size must be a whole number, 1 or more; got 0"),
    (lambda m: m.predict(PAIRS, prompt_name="x"), "prompt_name is one of the model's prompts, none; got 'x'"),
    (lambda m: m.predict(PAIRS, sentences=PAIRS), "sentences is the former name of inputs; got both"),
    (lambda m: m.predict(PAIRS, device="cuda"), "minibert computes on the CPU only"),
    (lambda m: m.predict(PAIRS, unknown=1), "unknown"),
    (lambda m: setattr(m, "max_length", 17), "max_seq_length must be a whole number from 3 to 16, the model's positions"),
    (lambda m: m.train(), "minibert does not train models of sentence-transformers; a CrossEncoder only predicts"),
]


@pytest.mark.parametrize("call, message", BAD_CALLS, ids=range(len(BAD_CALLS)))
def test_a_call_that_means_something_else_is_refused(call, message, model):
    with pytest.raises(InputError, match=message):
        call(model)
    assert model.to("cpu").eval().cpu().float() is model


# --- Loading ---------------------------------------------------------------------------------------------------------


def test_a_head_that_does_not_fit_is_refused(tmp_path, folder):
    tokens = make_checkpoint(tmp_path / "tokens", "bert", "ForTokenClassification")
    for loading in (Reranker.from_pretrained, CrossEncoder):
        with pytest.raises(InputError, match="text-ranking needs a model that was trained for it; .* token-classification"):
            loading(tokens)
    with pytest.raises(InputError, match="num_labels must be 1, which .* was trained with; got 3. Leave it out."):
        load(folder, num_labels=3)
    assert load(folder, num_labels=1).num_labels == 1


@pytest.mark.parametrize("labels", [None, 1, 4])
def test_a_model_without_a_classifier_gets_one_at_random_with_a_warning(labels, tmp_path):
    encoder = make_checkpoint(tmp_path / "encoder", "bert", "Model")
    with pytest.warns(MinibertWarning, match="was not trained to classify"):
        model = load(encoder, num_labels=labels)
    assert model.num_labels == (labels or 1) and model.predict(PAIRS).shape[1:] == ((4,) if labels == 4 else ())


@pytest.mark.parametrize("name", ["ms-marco-MiniLM-L6-v2", "someone/ms-marco-MiniLM-L6-v2"])
def test_a_name_without_an_organization_is_of_cross_encoder(name, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    full = name if "/" in name else f"cross-encoder/{name}"
    with pytest.raises(ModelFileError, match=f"'{full}'"):
        CrossEncoder(name, cache_folder=tmp_path)


def test_an_activation_that_cannot_be_run_is_named(tmp_path):
    other = make_folder(tmp_path / "other", **{FORMER: "my_package.Scaled"})
    with pytest.warns(MinibertWarning, match="the activation 'my_package.Scaled', code that minibert does not run"):
        assert load(other).activation_fn == Activation("Sigmoid")
    for value in ("torch.nn.modules.activation.PReLU", 3, ["torch.nn.Tanh"]):
        with pytest.raises(ConfigError, match="the activation of a cross-encoder is one of torch.nn.modules.linear.Identity"):
            load(make_folder(tmp_path / "unknown", **{FORMER: value}))


@pytest.mark.parametrize("write", [quantize, convert])
def test_a_smaller_or_converted_copy_keeps_activation_prompts_and_limit(write, folder, tmp_path):
    model = load(folder, max_length=9, activation_fn=Activation("Tanh"), prompts={"query": "good "})
    model.save_pretrained(tmp_path / "saved")
    write(tmp_path / "saved", tmp_path / "copy")
    copy = CrossEncoder(tmp_path / "copy")
    assert (copy.activation_fn, copy.max_length, copy.prompts) == (Activation("Tanh"), 9, {"query": "good "})
    assert np.abs(copy.predict(PAIRS) - model.predict(PAIRS)).max() < (0.1 if write is quantize else TOLERANCE)


def test_a_function_without_a_name_is_not_saved(model, tmp_path):
    model.activation_fn = np.tanh
    with pytest.raises(InputError, match="files can name the activations Identity, Tanh, .* of torch.nn; got <ufunc 'tanh'>"):
        model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_a_cross_encoder_of_several_steps_is_refused(model, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    modules = [{"path": "", "type": "a.Transformer"}, {"path": "1_Dense", "type": "a.Pooling"}]
    (tmp_path / "saved" / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ConfigError, match="no other step; .* has Transformer, Pooling"):
        load(tmp_path / "saved")


def test_settings_that_cannot_be_are_refused(model, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    for name, value, message in (
        ("config_sentence_transformers.json", {"prompts": [1]}, "prompts must map names to texts"),
        ("config_sentence_transformers.json", {"default_prompt_name": "x"}, "default_prompt_name must be one of the prompts"),
        ("sentence_bert_config.json", {"max_seq_length": "9"}, "max_seq_length must be a whole number, 3 or more"),
    ):
        path = tmp_path / "saved" / name
        before = path.read_text()
        path.write_text(json.dumps({**json.loads(before), **value}))
        with pytest.raises(ConfigError, match=message):
            load(tmp_path / "saved")
        path.write_text(before)


def test_neither_torch_nor_sentence_transformers_is_imported(folder):
    program = (
        "import sys; from minibert.sentence_transformers import CrossEncoder\n"
        f"model = CrossEncoder({str(folder)!r}, model_kwargs={{'kernels': 'reference'}})\n"
        "print(len(model.rank('a', ['good', 'bad'])), model.device, 'torch' in sys.modules, 'sentence_transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["2", "cpu", "False", "False"], done.stderr
