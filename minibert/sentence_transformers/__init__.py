"""The names of sentence-transformers, over minibert: code written for that library runs with its import changed.

    from minibert.sentence_transformers import SentenceTransformer, util

    model.py         SentenceTransformer; loading.py reads the arguments of its constructor, pool.py is its pool of threads
    similarity.py    util.cos_sim and the others, SimilarityFunction
    retrieval.py     util.semantic_search, paraphrase_mining, community_detection
    quantization.py  quantize_embeddings

Arrays come back as what they went in: NumPy for NumPy and lists, where the original gives tensors, and torch tensors for
torch tensors. The class behind it is minibert.SentenceEncoder.
"""

from __future__ import annotations

from . import util
from .model import SentenceTransformer
from .quantization import quantize_embeddings
from .similarity import SimilarityFunction

__all__ = ["SentenceTransformer", "SimilarityFunction", "quantize_embeddings", "util"]
