"""Every pipeline against transformers' of the same name, on the same random checkpoints; question answering, which it
no longer has, against its models' logits and a slow search over all spans."""

import json

import numpy as np
import pytest
from byte_level_cases import our_roberta, train
from checkpoints import WORDS, make_checkpoint, small_model

import minibert

torch = pytest.importorskip("torch", reason="parity needs torch: pip install -e '.[test]'")
transformers = pytest.importorskip("transformers", reason="parity needs transformers: pip install -e '.[test]'")
pytestmark = pytest.mark.parity

MODEL_TYPES = ["bert", "distilbert"]
TAGS = dict(enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC"]))
VERDICTS = {0: "contradiction", 1: "neutral", 2: "entailment"}
TEXTS = ["a good movie", "Films waits, goodly!", "the  bad\tmovies is  waiting ß this life", "xyz it's \N{SNOWMAN} good."]
LONG = " ".join(word for word in WORDS[5:25] * 3 if not word.startswith("##"))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Both libraries' pipelines for a task, over one checkpoint of sixteen positions."""
    pipelines = {}

    def make(task, model_type, head, **changes):
        key = (task, model_type, str(changes))
        if key not in pipelines:
            folder = make_checkpoint(tmp_path_factory.mktemp(model_type), model_type, head, **changes)
            settings = json.loads((folder / "tokenizer_config.json").read_text())
            (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 16}))
            theirs = transformers.pipeline(task, model=str(folder), device="cpu")
            pipelines[key] = theirs, minibert.pipeline(task, folder)
        return pipelines[key]

    return make


def same(got, want):
    """Equal in shape, types, keys and texts; numbers to 1e-5."""
    if isinstance(want, dict):
        return list(got) == list(want) and all(same(got[key], want[key]) for key in want)
    if isinstance(want, list):
        return isinstance(got, list) and len(got) == len(want) and all(map(same, got, want))
    if isinstance(want, (float, np.floating)):
        return type(got) is float and abs(got - want) < 1e-5
    return got == want


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_tokens_and_entities_are_theirs(both, model_type, strategy):
    theirs, ours = both("token-classification", model_type, "ForTokenClassification", id2label=TAGS)
    for ignored in (["O"], [], ["MISC", "PER"]):
        options = {"aggregation_strategy": strategy, "ignore_labels": ignored}
        for text in TEXTS:
            assert same(ours(text, **options), theirs(text, **options))
        assert same(ours(TEXTS, **options), theirs(TEXTS, **options))
    assert same(ours([TEXTS[0]]), theirs([TEXTS[0]]))


@pytest.fixture(scope="module", params=[True, False], ids=["prefix space", "no prefix space"])
def byte_level(request, tmp_path_factory):
    """Both libraries' pipelines over a RoBERTa whose words are pieces of bytes."""
    folder = tmp_path_factory.mktemp("byte_level")
    tokenizer = our_roberta(
        train([TEXTS[0], "My name is Wolfgang, I live in Berlin."] * 5, 300), add_prefix_space=request.param
    )
    tokenizer.save_pretrained(folder)
    small_model("roberta", "ForTokenClassification", vocab_size=300, max_position_embeddings=99, id2label=TAGS).save_pretrained(
        folder
    )
    theirs = transformers.pipeline("token-classification", model=str(folder), device="cpu")
    return theirs, minibert.pipeline("token-classification", folder)


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_words_of_a_byte_level_tokenizer_are_theirs(byte_level, strategy):
    theirs, ours = byte_level
    options = {"aggregation_strategy": strategy, "ignore_labels": []}
    for text in [*TEXTS, "My name is Wolfgang, I live in Berlin.", " <unk> Wolfgang<unk>s  name\nis", "a"]:
        assert same(ours(text, **options), theirs(text, **options))
        words = text.split()
        split = {**options, "is_split_into_words": True}
        assert same(ours(words, **split), theirs(list(words), **split))


@pytest.mark.parametrize("strategy", ["simple", "first", "average", "max"])
@pytest.mark.parametrize("stride", [0, 3, 9])
def test_entities_of_a_text_in_windows_are_theirs(both, strategy, stride):
    theirs, ours = both("token-classification", "bert", "ForTokenClassification", id2label=TAGS)
    options = {"aggregation_strategy": strategy, "stride": stride}
    for text in (LONG, LONG + " " + TEXTS[2], TEXTS[0]):
        assert same(ours(text, **options), theirs(text, **options))


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_entities_of_words_told_apart_before_are_theirs(both, strategy):
    theirs, ours = both("token-classification", "bert", "ForTokenClassification", id2label=TAGS)
    rows = [text.split() for text in (TEXTS[0], TEXTS[1], TEXTS[2])] + [
        ["a b", "", "it's", "é\N{SNOWMAN}", " good ", "goodly!"]
    ]
    for delimiter in (None, "", "--"):
        options = {"aggregation_strategy": strategy, "is_split_into_words": True, "delimiter": delimiter}
        for words in rows:
            assert same(ours(words, **options), theirs(list(words), **options))
        assert same(ours(rows, **options), theirs(rows, **options))
    if strategy != "none":
        options["stride"] = 2
        assert same(ours(LONG.split(), **options), theirs(LONG.split(), **options))


def test_a_text_that_is_cut_gives_what_theirs_gives_and_says_so(both):
    theirs, ours = both("token-classification", "bert", "ForTokenClassification", id2label=TAGS)
    with pytest.warns(minibert.MinibertWarning, match="cut to 16 tokens, .* Pass stride="):
        assert same(ours(LONG), theirs(LONG))


MASKED = ["a [MASK] movie", "[MASK] is [MASK]!", "I [MASK] it , very very"]


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_words_that_fill_a_mask_are_theirs(both, model_type):
    theirs, ours = both("fill-mask", model_type, "ForMaskedLM")
    for options in ({}, {"top_k": 1}, {"top_k": 99}, {"targets": ["good", "bad", "##s"]}, {"targets": "good", "top_k": 3}):
        options.setdefault("top_k", 5)
        options["top_k"] = min(options["top_k"], len(WORDS))
        for text in MASKED:
            assert same(ours(text, **options), theirs(text, **options))
        assert same(ours(MASKED, **options), theirs(MASKED, **options))
    assert same(ours([MASKED[0]]), theirs([MASKED[0]]))


def test_a_target_that_is_no_token_stands_for_its_first_piece_there_and_here(both):
    theirs, ours = both("fill-mask", "bert", "ForMaskedLM")
    with pytest.warns(minibert.MinibertWarning, match="'goodly' is no token; 'good' stands for it"):
        assert same(ours(MASKED[0], targets=["goodly", "bad"]), theirs(MASKED[0], targets=["goodly", "bad"]))


def test_fill_mask_passes_options_to_the_tokenizer_as_theirs_does(both):
    theirs, ours = both("fill-mask", "bert", "ForMaskedLM")
    text = f"a [MASK] movie {LONG}"
    want = theirs(text, tokenizer_kwargs={"truncation": True})
    assert same(ours(text, tokenizer_kwargs={"truncation": True}), want) and same(ours(text, truncation=True), want)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_features_are_theirs(both, model_type):
    theirs, ours = both("feature-extraction", model_type, "Model")
    for text in TEXTS:
        assert same(ours(text), theirs(text))
        array = ours(text, return_tensors=True)
        assert array.shape == tuple(theirs(text, return_tensors=True).shape) and array.dtype == np.float32
    assert same(ours(TEXTS), theirs(TEXTS))
    assert same(ours(LONG, truncation=True), theirs(LONG, truncation=True))


LIMITS = [
    {"max_length": 5},
    {"max_length": 5, "truncation": None},
    {"max_length": 5, "truncation": False},
    {"max_length": 5, "truncation": "do_not_truncate"},
    {"max_length": 5, "truncation": True},
    {"max_length": 5, "padding": False},
    {"max_length": 5, "padding": "do_not_pad"},
    {"max_length": 5, "padding": "max_length"},
    {"max_length": 12, "padding": "max_length"},
    {"max_length": 5, "padding": "longest"},
    {"max_length": 5, "padding": True, "truncation": True},
    {"max_length": 5, "pad_to_multiple_of": 8},
    {"max_length": 4, "add_special_tokens": False},
    {"padding": False},
    {"padding": "do_not_pad"},
]
MOVIE = "movie is waiting good [MASK] this life"


@pytest.mark.filterwarnings("ignore:.*max_length.* is ignored")
@pytest.mark.parametrize("options", LIMITS, ids=str)
def test_a_limit_cuts_where_theirs_does(both, options):
    theirs, ours = both("text-classification", "bert", "ForSequenceClassification")
    for text in (MOVIE, [MOVIE, "a"], {"text": MOVIE, "text_pair": "a good movie"}):
        assert same(ours(text, **options), theirs(text, **options))
    at_construction = type(ours)(ours.model, ours.tokenizer, **options)
    assert same(at_construction(MOVIE), theirs(MOVIE, **options))
    theirs, ours = both("feature-extraction", "bert", "Model")
    if options.get("padding") != "max_length":  # features of padding, which are not computed here
        assert same(ours(MOVIE, tokenize_kwargs=options), theirs(MOVIE, tokenize_kwargs=options))
        assert same(ours([MOVIE, "a"], **options), [theirs(text, tokenize_kwargs=options) for text in (MOVIE, "a")])


@pytest.mark.filterwarnings("ignore:.*max_length.* is ignored")
@pytest.mark.parametrize("options", [{**options, "max_length": 8} for options in LIMITS if "max_length" in options], ids=str)
def test_a_limit_of_fill_mask_cuts_where_theirs_does(both, options):
    theirs, ours = both("fill-mask", "bert", "ForMaskedLM")
    assert same(ours(MOVIE, tokenizer_kwargs=options), theirs(MOVIE, tokenizer_kwargs=options))
    if options == {"max_length": 8}:
        assert same(ours(MOVIE, **options), theirs(MOVIE, tokenizer_kwargs=options)) and not same(
            ours(MOVIE), theirs(MOVIE, tokenizer_kwargs=options)
        )
    with pytest.raises(minibert.InputError, match="must have a \\[MASK\\] to fill"):  # which is cut off
        ours(MOVIE, max_length=5)


def test_a_limit_that_padding_makes_void_is_told_of(both):
    _, ours = both("text-classification", "bert", "ForSequenceClassification")
    with pytest.warns(minibert.errors.MinibertWarning, match="max_length=5 is ignored, as in transformers"):
        assert ours(MOVIE, max_length=5, padding=True) == ours(MOVIE)


@pytest.mark.parametrize("verdicts", [VERDICTS, {0: "ENTAILMENT", 1: "not_entailment"}], ids=["three", "two"])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_labels_of_ones_own_are_ranked_as_theirs_are(both, model_type, verdicts):
    theirs, ours = both("zero-shot-classification", model_type, "ForSequenceClassification", id2label=verdicts)
    labels = ["good", "bad movie", "film"]
    for multi_label in (False, True):
        for template in ("This example is {}.", "it is {} !"):
            options = {"multi_label": multi_label, "hypothesis_template": template}
            for text in (*TEXTS, LONG):
                assert same(ours(text, labels, **options), theirs(text, labels, **options))
            assert same(ours(TEXTS, labels, **options), theirs(TEXTS, labels, **options))
    assert same(ours("a movie", "good, bad"), theirs("a movie", candidate_labels="good, bad"))
    assert same(ours(["a movie"], ["good"]), theirs(["a movie"], ["good"]))


# --- Question answering ----------------------------------------------------------------------------------------------


def answers_by_search(model, tokenizer, question, context, top_k, longest, nothing):
    """All spans of all windows, tried one by one."""
    encoded = tokenizer(
        question,
        context,
        truncation="only_second",
        max_length=40,
        stride=8,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    answers, null_scores = {}, []
    for row, ids in enumerate(encoded["input_ids"]):
        inputs = {name: torch.tensor([encoded[name][row]]) for name in tokenizer.model_input_names}
        with torch.no_grad():
            output = model(**inputs)
        inside = torch.tensor([owner == 1 for owner in encoded.sequence_ids(row)])
        inside[0] = True
        starts, ends = (
            torch.where(inside, logits[0], -10000.0).double().softmax(0).numpy()
            for logits in (output.start_logits, output.end_logits)
        )
        null_scores.append(starts[0] * ends[0])
        spans = [
            (starts[i] * ends[j], i, j)
            for i in range(1, len(ids))
            for j in range(i, min(i + longest, len(ids)))
            if inside[i] and inside[j]
        ]
        for score, i, j in sorted(spans, reverse=True)[: 2 * top_k + 10]:
            start = encoded.word_to_chars(row, encoded.word_ids(row)[i], 1).start
            end = encoded.word_to_chars(row, encoded.word_ids(row)[j], 1).end
            one = answers.setdefault(context[start:end].lower(), {"score": 0.0, "start": start, "end": end})
            one["score"] += float(score)
            one.setdefault("answer", context[start:end])
    if nothing:
        answers[""] = {"score": float(min(null_scores)), "start": 0, "end": 0, "answer": ""}
    return sorted(answers.values(), key=lambda answer: -answer["score"])[:top_k]


@pytest.mark.parametrize("nothing", [False, True])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_answers_are_the_best_of_all_spans(model_type, nothing, tmp_path):
    folder = make_checkpoint(tmp_path, model_type, "ForQuestionAnswering", max_position_embeddings=40)
    name = f"{'Bert' if model_type == 'bert' else 'DistilBert'}ForQuestionAnswering"
    model = getattr(transformers, name).from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    pipe = minibert.pipeline("question-answering", folder, max_seq_len=40, doc_stride=8, handle_impossible_answer=nothing)
    for context in (TEXTS[2], LONG, LONG + " " + LONG):
        for top_k, longest in ((1, 15), (3, 4), (5, 1)):
            want = answers_by_search(model, tokenizer, "what is bad ?", context, top_k, longest, nothing)
            got = pipe(question="what is bad ?", context=context, top_k=top_k, max_answer_len=longest)
            assert same(got, want[0] if len(want) == 1 else want)
