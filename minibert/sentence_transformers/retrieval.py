"""Search among embeddings: the nearest of a corpus, the nearest pairs, and groups that lie together.

Every search is exact: scores of chunks, of which the best are kept. Among equal scores the lower index comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from ..errors import InputError, InputTypeError, KernelError, is_bool, read_int, short_repr, strict_arguments
from ..kernels.catalog import Ops, make_ops
from ..models.heads import real_numbers
from ..pipelines.sentence_config import normalized
from ..tensors import as_array, like
from .similarity import EACH_WITH_EACH, as_matrix, as_vectors, check_lengths, cos_sim, dot_score, pytorch_cos_sim

OURS = tuple(EACH_WITH_EACH.values())  # score functions that take NumPy whatever the caller's embeddings are


@strict_arguments
def semantic_search(
    query_embeddings,
    corpus_embeddings,
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 500000,
    top_k: int = 10,
    score_function: Callable = cos_sim,
) -> list[list[dict[str, int | float]]]:
    """Queries (S, D) or (D,) and a corpus (R, D) -> for each query its `top_k` [{"corpus_id": 3, "score": 0.9}, ...], best first.

    `score_function` takes chunks of both, tensors if the embeddings are, and returns a score for each with each.
    """
    queries, corpus = as_matrix(query_embeddings, "query_embeddings"), as_matrix(corpus_embeddings, "corpus_embeddings")
    top_k = read_int("top_k", top_k, 1)
    if not len(corpus) or not len(queries):
        return [[] for _ in queries]
    check_lengths(queries, corpus)
    score = scorer(score_function, query_embeddings, corpus_embeddings, corpus)
    results = []
    for _, scores, ids in best(queries, corpus, score, top_k, (query_chunk_size, corpus_chunk_size)):
        for row_scores, row_ids in zip(scores.tolist(), ids.tolist()):
            results.append([{"corpus_id": id, "score": score} for id, score in zip(row_ids, row_scores)])
    return results


@strict_arguments
def paraphrase_mining(
    model,
    sentences,
    show_progress_bar: bool = False,
    batch_size: int = 32,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100000,
    max_pairs: int = 500000,
    top_k: int = 100,
    score_function: Callable = cos_sim,
    truncate_dim: int | None = None,
    prompt_name: str | None = None,
    prompt: str | None = None,
) -> list[list[float | int]]:
    """A SentenceTransformer and texts -> the nearest pairs [score, i, j], best first; see `paraphrase_mining_embeddings`."""
    if not callable(getattr(model, "encode", None)) or isinstance(model, (str, type)):
        raise InputTypeError(f"model must be a SentenceTransformer; got {short_repr(model)}.")
    options = {"truncate_dim": truncate_dim, "prompt_name": prompt_name, "prompt": prompt}
    embeddings = model.encode(sentences, show_progress_bar=show_progress_bar, batch_size=batch_size, **options)
    return paraphrase_mining_embeddings(
        embeddings, query_chunk_size, corpus_chunk_size, max_pairs, top_k, score_function=score_function
    )


@strict_arguments
def paraphrase_mining_embeddings(
    embeddings,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100000,
    max_pairs: int = 500000,
    top_k: int = 100,
    score_function: Callable = cos_sim,
) -> list[list[float | int]]:
    """(S, D) -> at most `max_pairs` pairs [score, i, j], i < j, best first, of which one is among the other's `top_k` nearest.

    `score_function` must be symmetric.
    """
    vectors = as_matrix(embeddings, "embeddings")
    max_pairs, top_k = read_int("max_pairs", max_pairs, 1), read_int("top_k", top_k, 1)
    if not len(vectors):
        return []
    score = scorer(score_function, embeddings, embeddings, vectors)
    scores, pairs = np.empty(0, vectors.dtype), np.empty(0, np.int64)  # a pair is i · S + j
    for start, new_scores, ids in best(vectors, vectors, score, top_k + 1, (query_chunk_size, corpus_chunk_size)):
        rows = np.arange(start, start + len(ids))[:, None]
        others = ids != rows
        others &= others.cumsum(axis=1) <= top_k  # of top_k + 1 one is the row itself, unless it has enough doubles
        new_pairs = np.minimum(ids, rows) * len(vectors) + np.maximum(ids, rows)
        scores, pairs = np.concatenate([scores, new_scores[others]]), np.concatenate([pairs, new_pairs[others]])
        pairs, first = np.unique(pairs, return_index=True)
        order = np.argsort(-scores[first], kind="stable")[:max_pairs]
        scores, pairs = scores[first][order], pairs[order]
    return [[score, *divmod(pair, len(vectors))] for score, pair in zip(scores.tolist(), pairs.tolist())]


@strict_arguments
def community_detection(
    embeddings, threshold: float = 0.75, min_community_size: int = 10, batch_size: int = 1024, show_progress_bar: bool = False
) -> list[list[int]]:
    """(S, D) -> groups of at least `min_community_size` rows, largest first, whose cosine to a central one is at least
    `threshold`. A group begins with its center; a row is in one group at most."""
    size, batch_size = read_int("min_community_size", min_community_size, 1), read_int("batch_size", batch_size, 1)
    if is_bool(threshold) or not isinstance(threshold, (int, float, np.integer, np.floating)) or not -1 <= threshold <= 1:
        raise InputError(f"threshold must be a cosine, a number from -1 to 1; got {short_repr(threshold)}.")
    vectors = as_vectors(embeddings, "embeddings")
    vectors = normalized(np.atleast_2d(vectors) if vectors.size else vectors.reshape(0, 0))
    groups = []  # (center, its neighbors), nearest first
    for start in range(0, len(vectors) if len(vectors) >= size else 0, batch_size):
        for center, row in enumerate(vectors[start : start + batch_size] @ vectors.T, start):
            neighbors = (row >= threshold).nonzero()[0]
            if len(neighbors) >= size:
                groups.append((center, neighbors[np.argsort(-row[neighbors], kind="stable")]))
    groups.sort(key=lambda group: -len(group[1]))
    communities, used = [], np.zeros(len(vectors), bool)
    for center, neighbors in groups:
        free = neighbors[~used[neighbors]]
        if not used[center] and len(free) >= size:
            communities.append([center, *free[free != center].tolist()])
            used[communities[-1]] = True
    return sorted(communities, key=len, reverse=True)


# --- What they share -------------------------------------------------------------------------------------------------


def scorer(function: Callable, query_values, corpus_values, corpus: np.ndarray) -> Callable[[np.ndarray, slice], np.ndarray]:
    """A score function -> (a chunk of queries (S, D), a slice of the corpus) -> scores (S, R)."""
    if not callable(function) or isinstance(function, type):
        raise InputTypeError(f"score_function must be a function, such as util.dot_score; got {short_repr(function)}.")
    if function in (cos_sim, pytorch_cos_sim):  # the corpus's lengths once, not for each chunk of queries
        lengths = np.maximum(np.linalg.norm(corpus, axis=1), np.float32(1e-12))
        return lambda queries, part: products(normalized(queries), corpus[part]) / lengths[part]
    if function is dot_score:
        return lambda queries, part: products(queries, corpus[part])

    def score(queries: np.ndarray, part: slice) -> np.ndarray:
        if function in OURS:
            return function(queries, corpus[part])
        values = function(like(query_values, queries), like(corpus_values, corpus[part]))
        scores = real_numbers(as_array(values, "a score_function's scores"), "a score_function's scores")
        expected = (len(queries), len(corpus[part]))
        if scores.shape != expected:
            raise InputError(f"score_function must return scores of shape {expected}; got {scores.shape}.")
        return scores

    return score


@cache
def product_kernel() -> Ops | None:
    """Operations whose `linear` reads both matrices as they are; None without Numba."""
    try:
        return make_ops({"linear": "threads"})
    except KernelError:
        return None


def products(queries: np.ndarray, corpus: np.ndarray) -> np.ndarray:
    """queries (S, D), corpus (R, D) -> (S, R), dot products. By the kernel a float32 score's bits depend on nothing but its two
    vectors, whatever the sizes of the chunks; float64, and all without Numba, is NumPy's product."""
    ops = product_kernel() if queries.dtype == corpus.dtype == np.float32 else None
    if ops is None:
        return queries @ corpus.T
    return ops.linear(corpus, np.ascontiguousarray(queries), np.zeros(len(queries), np.float32)).T


def best(
    queries: np.ndarray, corpus: np.ndarray, score: Callable, count: int, chunk_sizes: tuple[int, int]
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For each chunk of queries: where it starts, the best `count` scores (S, K) of each, and their indices in the corpus."""
    query_step, corpus_step = (
        read_int(name, size, 1) for name, size in zip(("query_chunk_size", "corpus_chunk_size"), chunk_sizes)
    )
    for start in range(0, len(queries), query_step):
        chunk = queries[start : start + query_step]
        scores, ids = np.empty((len(chunk), 0), queries.dtype), np.empty((len(chunk), 0), np.int64)
        for begin in range(0, len(corpus), corpus_step):
            new_scores = score(chunk, slice(begin, begin + corpus_step))
            order = highest(new_scores, count)
            scores = np.concatenate([scores, np.take_along_axis(new_scores, order, 1)], axis=1)
            ids = np.concatenate([ids, order + begin], axis=1)
            order = highest(scores, count)
            scores, ids = np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)
        yield start, scores, ids


def highest(scores: np.ndarray, count: int) -> np.ndarray:
    """scores (S, R) -> the columns (S, min(count, R)) of the highest in each row, highest first; of equal ones the first."""
    count = min(count, scores.shape[1])
    columns = np.empty((len(scores), count), np.int64)
    for index, row in enumerate(scores):  # a partition of the matrix would need a second one, of indices
        least = np.partition(row, len(row) - count)[len(row) - count]
        top = np.flatnonzero(~(row < least))  # with all that equal it, so that the first of them can be taken; NaN last
        columns[index] = top[np.argsort(-row[top], kind="stable")][:count]
    return columns
