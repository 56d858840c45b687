"""The names of sentence-transformers, over minibert: code written for that library runs with its import changed.

    from minibert.sentence_transformers import CrossEncoder, SentenceTransformer, util

    model.py         SentenceTransformer
    cross_encoder.py CrossEncoder
    settings.py      what the two share beside their calls; loading.py reads the arguments of their constructors, arguments.py
                     those of their calls; pool.py is their pool of threads
    similarity.py    util.cos_sim and the others, SimilarityFunction
    retrieval.py     util.semantic_search, paraphrase_mining, community_detection
    quantization.py  quantize_embeddings

Arrays come back as what they went in: NumPy for NumPy and lists, where the original gives tensors, and torch tensors for
torch tensors. The classes behind them are minibert.SentenceEncoder and minibert.Reranker.
"""

from __future__ import annotations

from . import util
from .cross_encoder import CrossEncoder
from .model import SentenceTransformer
from .quantization import quantize_embeddings
from .similarity import SimilarityFunction

__all__ = ["CrossEncoder", "SentenceTransformer", "SimilarityFunction", "quantize_embeddings", "util"]
