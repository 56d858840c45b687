"""`minibert rerank`, and the numbers that `minibert embed` prints."""

import json

import numpy as np
import pytest
from checkpoints import make_checkpoint
from sentence_folders import write_sentence_config

from minibert import Reranker, SentenceEncoder
from minibert.sentence_transformers import quantize_embeddings

TEXTS = ["a good movie", "bad", "it is dull .", "good", "", "a good movie"]
QUERY = "is it a good film ?"


@pytest.fixture(scope="module")
def ranking(tmp_path_factory):
    return str(make_checkpoint(tmp_path_factory.mktemp("m"), "bert", num_labels=1))


@pytest.fixture(scope="module")
def embedding(tmp_path_factory):
    folder = make_checkpoint(tmp_path_factory.mktemp("m"), "bert", "Model")
    return str(write_sentence_config(folder, prompts={"prompts": {"query": "the film "}}))


# --- rerank ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("top_k", [None, 1, 4, 100])
def test_the_best_texts_come_first(top_k, run, ranking):
    expected = Reranker.from_pretrained(ranking).rank(QUERY, TEXTS, top_k=top_k)
    call = ["rerank", "--model", ranking, "--query", QUERY, *([] if top_k is None else ["--top-k", str(top_k)])]
    lines = [f"{row['score']:.4f}\t{TEXTS[row['corpus_id']]}" for row in expected]
    assert run(*call, *TEXTS) == (0, lines, [])
    status, out, _ = run(*call, "--json", stdin="\n".join(TEXTS).encode() + b"\n")
    rows = [{"text": TEXTS[row["corpus_id"]], "score": row["score"], "index": row["corpus_id"]} for row in expected]
    assert status == 0 and [json.loads(line) for line in out] == rows


def test_equal_scores_keep_the_order_of_the_lines(run, ranking):
    status, out, _ = run("rerank", "--model", ranking, "--query", QUERY, "--json", "--top-k", "3", *["good"] * 5)
    assert status == 0 and [json.loads(line)["index"] for line in out] == [0, 1, 2]


def test_a_mistake_is_said_in_a_line(run, ranking, tmp_path):
    several = str(make_checkpoint(tmp_path / "several", "bert", num_labels=2))
    for command, status, message in (
        (["--model", ranking, "a"], 2, "required: --query"),
        (["--query", "a", "a"], 2, "required: --model"),
        (["--model", ranking, "--query", "a", "--top-k", "0", "a"], 2, "must be an integer, 1 or more"),
        (["--model", several, "--query", "a", "a"], 1, "a ranking needs a model with one label"),
    ):
        outcome, out, err = run("rerank", *command)
        assert (outcome, out) == (status, []) and message in err[-1]


# --- embed -----------------------------------------------------------------------------------------------------------

OPTIONS = {
    "a prompt": (["--prompt", "a "], {"prompt": "a "}),
    "a prompt's name": (["--prompt-name", "query"], {"prompt_name": "query"}),
    "fewer components": (["--truncate-dim", "3"], {"truncate_dim": 3}),
    "both": (["--truncate-dim", "5", "--prompt-name", "query"], {"truncate_dim": 5, "prompt_name": "query"}),
}


@pytest.mark.parametrize("options, keywords", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("precision", ["float32", "int8", "uint8", "binary", "ubinary"])
def test_vectors_are_those_of_the_library_at_every_precision(precision, options, keywords, run, embedding, tmp_path):
    vectors = SentenceEncoder.from_pretrained(embedding).encode(TEXTS, **keywords)
    ranges = np.stack([vectors.min(axis=0), vectors.max(axis=0)])
    np.save(tmp_path / "ranges.npy", ranges)
    more = ["--ranges", str(tmp_path / "ranges.npy")] if "int8" in precision else []
    expected = quantize_embeddings(vectors, precision, ranges=ranges)
    call = ["--model", embedding, *options, "--precision", precision, *more]
    status, out, err = run("embed", *call, "--json", *TEXTS)
    printed = [json.loads(line)["vector"] for line in out]
    assert status == 0 and np.allclose(printed, expected, rtol=1e-6), err
    status, out, _ = run("embed", *call, *TEXTS)
    assert status == 0 and np.allclose([line.split() and list(map(float, line.split())) for line in out], expected, rtol=1e-4)
    (tmp_path / "in.txt").write_text("\n".join(TEXTS) + "\n")
    status, out, _ = run("run", "--task", "sentence-embeddings", *call, str(tmp_path / "in.txt"))
    assert status == 0 and np.allclose([json.loads(line)["vector"] for line in out], expected, rtol=1e-5)


def test_ranges_that_do_not_fit_are_refused(run, embedding, tmp_path):
    ranges = tmp_path / "ranges.npy"
    call = ["embed", "--model", embedding, "--precision", "int8", "--ranges", str(ranges), "a"]
    contents = {
        "cannot be read as one": [None, b"", b"[[0], [1]]", b"PK\x03\x04", b"\x93NUMPY\x01\x00\xff\xff"],
        "ranges must be finite numbers of shape (2, 8)": [
            np.zeros((2, 7)),
            np.zeros(8),
            np.full((2, 8), np.nan),
            np.array("a"),
        ],
    }
    for message, values in contents.items():
        for value in values:
            ranges.unlink(missing_ok=True)
            if isinstance(value, np.ndarray):
                np.save(ranges, value)
            elif value is not None:
                ranges.write_bytes(value)
            status, out, err = run(*call)
            assert (status, out, len(err)) == (1, [], 1) and message in err[0]
    np.save(ranges, np.array([{}]), allow_pickle=True)
    status, _, err = run(*call)
    assert status == 1 and "Object arrays cannot be loaded" in err[0]


def test_a_prompt_that_the_model_has_not_is_refused(run, embedding):
    status, out, err = run("embed", "--model", embedding, "--prompt-name", "passage", "a")
    assert (status, out) == (1, []) and "prompt_name is one of the model's prompts, 'query'; got 'passage'" in err[0]


def test_a_run_is_not_resumed_with_other_ranges(run, embedding, tmp_path):
    ranges, source, output = tmp_path / "ranges.npy", tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "good"}\n' * 1100 + "{}\n")
    np.save(ranges, np.array([[-1.0] * 8, [1.0] * 8]))
    call = ["run", "--task", "sentence-embeddings", "--model", embedding, "--precision", "uint8", "--ranges", str(ranges)]
    call += [str(source), "-o", str(output), "--strict"]
    assert run(*call)[0] == 1  # the last row has no text
    np.save(ranges, np.array([[-2.0] * 8, [2.0] * 8]))
    status, _, err = run(*call, "--resume")
    assert status == 1 and "--ranges" in err[0]
