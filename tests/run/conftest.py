"""What tests of `minibert run` share: a model, and chunks so small that every test has several."""

import pytest
from checkpoints import make_checkpoint

from minibert.pipelines import streaming


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(make_checkpoint(tmp_path_factory.mktemp("classifier"), num_labels=2, id2label={0: "NEG", 1: "POS"}))


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(streaming, "CHUNK_ROWS", 4)
