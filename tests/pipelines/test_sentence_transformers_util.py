"""minibert/sentence_transformers/util.py: similarities, search and quantization are those of sentence-transformers."""

import itertools

import numpy as np
import pytest

from minibert import InputError, InputTypeError, MinibertWarning
from minibert.sentence_transformers import SentenceTransformer, SimilarityFunction, util

TOLERANCE = 1e-5
EACH_WITH_EACH = ("cos_sim", "pytorch_cos_sim", "dot_score", "euclidean_sim", "manhattan_sim")
IN_PAIRS = [name for name in util.__all__ if name.startswith("pairwise_")]
SENTENCES = [
    " ".join(words)
    for words in itertools.product(
        ("A man", "The old woman", "My cat", "Nobody", "Each of us", "Some birds"),
        ("eats", "sees", "likes", "forgets", "cannot find", "sings about", "paints"),
        ("bread.", "the sea.", "a new film!", "old songs", "the answer?", "three red houses", "rain", "Paris in May"),
    )
]


@pytest.fixture(scope="module")
def theirs():
    return pytest.importorskip("sentence_transformers").util


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def model(minilm):
    return SentenceTransformer(str(minilm))


@pytest.fixture(scope="module")
def embeddings(model):
    return model.encode(SENTENCES)


def vectors(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def close(ours, theirs):
    theirs = np.asarray(theirs)
    return np.asarray(ours).shape == theirs.shape and np.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)


# --- Similarities ----------------------------------------------------------------------------------------------------


@pytest.mark.parity
@pytest.mark.parametrize("name", EACH_WITH_EACH)
def test_each_with_each(name, theirs, torch):
    ours, theirs = getattr(util, name), getattr(theirs, name)
    one, other = vectors(7, 5), vectors(3, 5, seed=1)
    one[2] = 0
    forms = [(one, other), (one[0], other), (one, other[0]), (one[0], other[0]), (one.tolist(), other), (list(one), other)]
    for a, b in forms:
        assert type(ours(a, b)) is np.ndarray and close(ours(a, b), theirs(a, b))
    exact = ours(one.astype(np.float64), other.astype(np.float64))
    assert exact.dtype == np.float64 and close(exact, theirs(one.astype(np.float64), other.astype(np.float64)))
    for a, b in ((torch.tensor(one), torch.tensor(other)), (torch.tensor(one), other), (one, list(torch.tensor(other)))):
        assert isinstance(ours(a, b), torch.Tensor) and ours(a, b).dtype == torch.float32 and close(ours(a, b), theirs(a, b))
    half = torch.tensor(one, dtype=torch.bfloat16)
    assert ours(half, half).dtype == torch.float32 and np.allclose(ours(half, half), theirs(half, half), atol=1e-4)


@pytest.mark.parity
@pytest.mark.parametrize("name", IN_PAIRS)
def test_in_pairs(name, theirs, torch):
    ours, theirs = getattr(util, name), getattr(theirs, name)
    for width in (6, 5):
        one, other = vectors(7, width), vectors(7, width, seed=1)
        assert type(ours(one, other)) is np.ndarray and close(ours(one, other), theirs(one, other))
        assert close(ours(one, other[:1]), theirs(one, other[:1]))
        tensors = torch.tensor(one), torch.tensor(other)
        assert isinstance(ours(*tensors), torch.Tensor) and close(ours(*tensors), theirs(*tensors))
    assert np.ndim(ours(one[0], other[0])) == 0 and close(ours(one[0], other[0]), ours(one, other)[0])


@pytest.mark.parity
def test_embeddings_are_normalized_and_truncated_in_the_form_they_have(theirs, torch):
    one = vectors(4, 6)
    one[1] = 0
    assert close(util.normalize_embeddings(one), theirs.normalize_embeddings(torch.tensor(one)))
    assert close(util.normalize_embeddings(one[0]), theirs.normalize_embeddings(torch.tensor(one[0])))
    assert isinstance(util.normalize_embeddings(torch.tensor(one)), torch.Tensor)
    for count in (3, None, 100):
        assert np.array_equal(util.truncate_embeddings(one, count), theirs.truncate_embeddings(one, count))
    assert util.truncate_embeddings(torch.tensor(one), 2).shape == (4, 2)


@pytest.mark.parity
def test_a_similarity_by_its_name(theirs):
    one, other = vectors(4, 5), vectors(4, 5, seed=1)
    for name in ("cosine", "dot", "euclidean", "manhattan"):
        for convert in ("to_similarity_fn", "to_similarity_pairwise_fn"):
            ours, expected = (getattr(library.SimilarityFunction, convert)(name) for library in (util, theirs))
            assert ours.__name__ == expected.__name__ and close(ours(one, other), expected(one, other))
    assert SimilarityFunction.DOT is SimilarityFunction.DOT_PRODUCT is SimilarityFunction("dot")
    assert SimilarityFunction.possible_values() == ["cosine", "dot", "euclidean", "manhattan"]
    with pytest.raises(InputError, match="the similarity is one of cosine, dot, euclidean, manhattan; got 'maxsim'"):
        SimilarityFunction.to_similarity_fn("maxsim")


@pytest.mark.parametrize("values", ["text", None, [[1], [2, 3]], np.zeros((2, 2, 2)), 3.0, [object()], {}], ids=str)
def test_what_is_no_vector_is_refused(values):
    for function in (util.cos_sim, util.pairwise_dot_score):
        with pytest.raises(InputError, match="b must be (of shape|an array of numbers)"):
            function(np.eye(3), values)
    with pytest.raises(InputError, match="vectors must be of one length; got 3 and 2"):
        util.dot_score(np.eye(3), np.eye(2))
    with pytest.raises(InputError, match="each vector must have a partner; got 3 and 2"):
        util.pairwise_cos_sim(np.eye(3), np.ones((2, 3)))


# --- Search ----------------------------------------------------------------------------------------------------------


def same_ranking(ours, theirs):
    """Whether two rankings {what: score} are the same up to scores that are closer than the tolerance."""
    scores, expected = list(ours.values()), list(theirs.values())
    assert scores == sorted(scores, reverse=True) and np.allclose(scores, expected, rtol=0, atol=TOLERANCE)
    surplus = [ours[one] for one in ours if one not in theirs]
    return all(score < expected[-1] + TOLERANCE for score in surplus) and all(
        abs(ours[one] - theirs[one]) < TOLERANCE for one in ours if one in theirs
    )


SEARCHES = [
    {},
    {"top_k": 1},
    {"top_k": 1000},
    {"query_chunk_size": 7, "corpus_chunk_size": 50, "top_k": 20},
    {"score_function": "dot_score"},
    {"score_function": "euclidean_sim", "corpus_chunk_size": 100},
]


@pytest.mark.parity
@pytest.mark.parametrize("options", SEARCHES, ids=str)
def test_semantic_search_finds_what_theirs_finds(options, embeddings, theirs):
    queries, rankings = embeddings[::20] * 2, []
    for library in (util, theirs):
        functions = {key: getattr(library, value) for key, value in options.items() if key == "score_function"}
        hits = library.semantic_search(queries, embeddings, **{**options, **functions})
        rankings.append([{hit["corpus_id"]: hit["score"] for hit in row} for row in hits])
    assert len(rankings[0]) == len(queries) and all(map(same_ranking, *rankings))


def test_a_search_has_a_list_of_hits_for_each_query_in_pythons_own_numbers(embeddings):
    (hits,) = util.semantic_search(embeddings[3], embeddings, top_k=2)
    assert [list(hit) for hit in hits] == [["corpus_id", "score"]] * 2
    assert type(hits[0]["corpus_id"]) is int and type(hits[0]["score"]) is float and hits[0]["corpus_id"] == 3
    assert util.semantic_search(embeddings[:2], embeddings[:0]) == [[], []]
    assert util.semantic_search(embeddings[:0], embeddings) == []


def test_among_equal_scores_the_lower_index_comes_first_whatever_the_chunks():
    corpus = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0)[::-1]
    for size in (3, 7, 100):
        (hits,) = util.semantic_search(corpus[:1], corpus, top_k=5, corpus_chunk_size=size)
        assert [hit["corpus_id"] for hit in hits] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("function", [util.cos_sim, util.dot_score])
@pytest.mark.parametrize("width", [1, 5, 31, 384])
def test_a_score_has_the_same_bits_whatever_the_chunks_and_the_neighbors(function, width):
    draw = np.random.default_rng(width)
    queries, corpus = draw.standard_normal((7, width), np.float32), draw.standard_normal((701, width), np.float32)
    options = {"score_function": function, "top_k": 20}
    expected = util.semantic_search(queries, corpus, **options)
    for sizes in ((1, 1), (2, 13), (3, 700), (7, 64)):
        chunks = dict(zip(("query_chunk_size", "corpus_chunk_size"), sizes))
        assert util.semantic_search(queries, corpus, **options, **chunks) == expected
    for query, hits in zip(queries, expected):
        assert util.semantic_search(query, corpus[::-1], **options)[0][0]["score"] == hits[0]["score"]


def test_a_score_function_of_the_callers_gets_the_form_of_the_embeddings(embeddings, torch):
    expected = util.semantic_search(embeddings[:3], embeddings, score_function=util.dot_score)
    functions = {np.ndarray: lambda a, b: a @ b.T, torch.Tensor: lambda a, b: torch.mm(a, b.transpose(0, 1))}
    for convert, function in ((np.asarray, functions[np.ndarray]), (torch.tensor, functions[torch.Tensor])):
        hits = util.semantic_search(convert(embeddings[:3]), convert(embeddings), score_function=function)
        assert [[hit["corpus_id"] for hit in row] for row in hits] == [[hit["corpus_id"] for hit in row] for row in expected]
    with pytest.raises(InputError, match=r"score_function must return scores of shape \(3, 336\); got \(3,\)"):
        util.semantic_search(embeddings[:3], embeddings, score_function=lambda a, b: a[:, 0])
    with pytest.raises(ZeroDivisionError):  # the caller's own
        util.semantic_search(embeddings[:3], embeddings, score_function=lambda a, b: 1 / 0)


MININGS = [
    {},
    {"top_k": 3},
    {"max_pairs": 50},
    {"query_chunk_size": 40, "corpus_chunk_size": 90, "top_k": 10, "max_pairs": 200},
]


@pytest.mark.parity
@pytest.mark.parametrize("options", MININGS, ids=str)
def test_paraphrase_mining_finds_the_pairs_that_theirs_finds(options, embeddings, theirs, torch):
    ours = util.paraphrase_mining_embeddings(embeddings, **options)
    expected = theirs.paraphrase_mining_embeddings(torch.tensor(embeddings), **options)
    assert same_ranking(*({(i, j): score for score, i, j in pairs} for pairs in (ours, expected)))
    assert all(i < j for _, i, j in ours) and [type(value) for value in ours[0]] == [float, int, int]


def test_paraphrase_mining_encodes_the_sentences(model, embeddings):
    ours = util.paraphrase_mining(model, SENTENCES[:50], show_progress_bar=True, batch_size=8, top_k=5)
    assert ours == util.paraphrase_mining_embeddings(model.encode(SENTENCES[:50], batch_size=8), top_k=5)
    shorter = util.paraphrase_mining(model, SENTENCES[:50], truncate_dim=8, prompt="a ", top_k=5)
    assert shorter != ours and util.paraphrase_mining(model, []) == []


@pytest.mark.parity
@pytest.mark.parametrize(
    "options", [{}, {"threshold": 0.6, "min_community_size": 3}, {"threshold": 0.4, "batch_size": 50}], ids=str
)
def test_community_detection_finds_the_groups_that_theirs_finds(options, embeddings, theirs, torch):
    options = {"min_community_size": 5, **options}
    expected = theirs.community_detection(embeddings, **options)
    for form in (embeddings, torch.tensor(embeddings)):
        ours = util.community_detection(form, **options)
        assert [(group[0], sorted(group)) for group in ours] == [(group[0], sorted(group)) for group in expected]
    assert len(ours) > 1 and all(type(index) is int for index in ours[0])


def test_communities_of_too_few_are_none(embeddings):
    assert util.community_detection(embeddings[:5], min_community_size=6) == util.community_detection([]) == []


WRONG = [
    (lambda: util.semantic_search(np.eye(3), np.eye(3), top_k=0), "top_k must be an integer from 1 up; got 0"),
    (lambda: util.semantic_search(np.eye(3), np.eye(3), query_chunk_size=0), "query_chunk_size must be an integer from 1"),
    (
        lambda: util.semantic_search(np.eye(3), np.eye(3), score_function="dot"),
        "score_function must be a function, .*; got 'dot'",
    ),
    (lambda: util.semantic_search(np.eye(3), np.eye(2)), "vectors must be of one length; got 3 and 2"),
    (lambda: util.paraphrase_mining("name", ["a"]), "model must be a SentenceTransformer; got 'name'"),
    (lambda: util.paraphrase_mining_embeddings(np.eye(3), max_pairs=0), "max_pairs must be an integer from 1 up"),
    (lambda: util.community_detection(np.eye(3), 75), "threshold must be a cosine, a number from -1 to 1; got 75"),
    (lambda: util.community_detection(np.eye(3), min_community_size=0), "min_community_size must be an integer from 1 up"),
    (lambda: util.truncate_embeddings(np.eye(3), 0), "truncate_dim must be an integer from 1 up; got 0"),
    (lambda: util.quantize_embeddings(np.eye(3), "int4"), "precision is one of float32, int8, .*; got 'int4'"),
    (
        lambda: util.quantize_embeddings(np.eye(3)[0], "int8"),
        "one embedding has no ranges for int8. Pass ranges or calibration",
    ),
    (lambda: util.quantize_embeddings(np.eye(3), "int8", np.eye(3)), r"ranges must be of shape \(2, 3\), .*; got \(3, 3\)"),
    (
        lambda: util.quantize_embeddings(np.eye(3), "int8", None, np.eye(2)),
        r"ranges must be of shape \(2, 3\), .*; got \(2, 2\)",
    ),
    (
        lambda: util.quantize_embeddings(np.eye(3, dtype=np.int8), "binary"),
        "embeddings must be floats; got int8. Are they quant",
    ),
    (lambda: util.quantize_embeddings(np.full((2, 2), np.nan), "int8"), "embeddings must be finite"),
]


@pytest.mark.parametrize("call, message", WRONG, ids=[message for _, message in WRONG])
def test_an_argument_that_means_nothing_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_an_unknown_keyword_is_refused():
    with pytest.raises(InputTypeError, match="unexpected keyword argument 'k'. It takes query_embeddings"):
        util.semantic_search(np.eye(3), np.eye(3), k=3)


# --- Quantization ----------------------------------------------------------------------------------------------------


def calibrated(width):
    sample = vectors(200, width, seed=2)
    sample[:, 3] = -7  # the same everywhere: a step of 1
    return [{}, {"calibration_embeddings": sample}, {"ranges": np.array([[-1.0] * width, [2.0] * width])}]


@pytest.mark.parity
@pytest.mark.parametrize("precision", ["float32", "int8", "uint8", "binary", "ubinary"])
@pytest.mark.parametrize("width", [16, 13])
def test_quantized_embeddings_are_the_same_bytes(precision, width, theirs, torch):
    sample = vectors(150, width)
    sample[:, 3] = 0.25
    lists = [sample[:90], sample[90:]]
    for options in calibrated(width):
        for form in (sample, sample.astype(np.float64), torch.tensor(sample), list(sample), lists, sample[:0]):
            ours, expected = (library.quantize_embeddings(form, precision, **options) for library in (util, theirs))
            pairs = list(zip(ours, expected)) if isinstance(expected, list) else [(ours, expected)]
            assert type(ours) is type(expected) and len(ours) == len(expected)
            assert all(one.dtype == other.dtype and np.array_equal(one, other) for one, other in pairs)
        if options or not precision.endswith("int8"):
            ours, expected = (library.quantize_embeddings(sample[0], precision, **options) for library in (util, theirs))
            assert ours.shape == expected.shape and np.array_equal(ours, expected)


def test_ranges_of_few_embeddings_are_a_warning():
    with pytest.warns(MinibertWarning, match="the ranges for uint8 come from 50 embeddings, which is few"):
        util.quantize_embeddings(vectors(50, 4), "uint8")
    util.quantize_embeddings(vectors(100, 4), "uint8")
