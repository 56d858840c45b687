"""The trained MPNet, all-mpnet-base-v2: ids and embeddings of every sentence of SST-2's dev set are sentence-transformers'."""

import numpy as np
import pytest
from paths import SST2

from minibert import AutoTokenizer, SentenceEncoder

STARTS = ["The film is", "It was, I must say,", "Nobody told me that this café is", "42 % of the plot:"]
ENDS = ["great.", "a waste of two hours!", "not bad at all", "unfathomably, incontrovertibly long-winded ...", "<mask>", "中国"]
pytestmark = [pytest.mark.parity, pytest.mark.mpnet]


@pytest.fixture(scope="module")
def texts():
    """SST-2's dev sentences; without them, a few of our own."""
    if not (SST2 / "dev.tsv").is_file():
        return [f"{start} {end}" for start in STARTS for end in ENDS]
    return [line.split("\t")[1] for line in (SST2 / "dev.tsv").read_text(encoding="utf-8").rstrip("\n").split("\n")[1:]]


@pytest.fixture(scope="module")
def expected(mpnet, texts):
    library = pytest.importorskip("sentence_transformers", reason="needs sentence-transformers: pip install -e '.[test]'")
    return library.SentenceTransformer(str(mpnet), device="cpu").encode(texts, batch_size=32, show_progress_bar=False)


def test_ids_are_the_references(mpnet, texts):
    transformers = pytest.importorskip("transformers", reason="parity needs transformers: pip install -e '.[test]'")
    theirs, ours = transformers.AutoTokenizer.from_pretrained(mpnet), AutoTokenizer.from_pretrained(mpnet)
    assert ours(texts)["input_ids"] == theirs(texts)["input_ids"]


def test_embeddings_are_theirs(mpnet, texts, expected):
    vectors = SentenceEncoder.from_pretrained(mpnet).encode(texts)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


@pytest.mark.parametrize("kernels, cosine", [("bf16", 0.999), ("int8", 0.99)])
def test_fewer_bits_keep_the_direction(kernels, cosine, mpnet, texts, expected):
    vectors = SentenceEncoder.from_pretrained(mpnet, kernels=kernels).encode(texts[::8])
    assert (vectors * expected[::8]).sum(axis=1).min() > cosine
