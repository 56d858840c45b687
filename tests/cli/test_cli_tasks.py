"""The commands of the tasks that no bundled model is for: ner, fill-mask, ask, embed."""

import json

import pytest
from checkpoints import make_checkpoint

from minibert import SentenceEncoder, pipeline

HEADS = {"ner": "ForTokenClassification", "fill-mask": "ForMaskedLM", "ask": "ForQuestionAnswering", "embed": "Model"}
TEXT = "a [MASK] movie"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return {name: str(make_checkpoint(tmp_path_factory.mktemp("m"), "bert", head)) for name, head in HEADS.items()}


def arguments(name, models, *more):
    return [name, *(["--question", "what ?"] if name == "ask" else []), "--model", models[name], *more]


def test_ner_prints_a_line_for_each_entity(run, models):
    status, out, err = run(*arguments("ner", models, TEXT))
    entities = pipeline("ner", models["ner"], aggregation_strategy="simple")(TEXT)
    assert status == 0 and err == [] and len(out) == len(entities)
    assert out[0].split("\t") == [
        entities[0]["entity_group"],
        f"{entities[0]['score']:.4f}",
        *(entities[0]["word"], str(entities[0]["start"]), str(entities[0]["end"])),
    ]


def test_fill_mask_prints_a_line_for_each_word(run, models):
    status, out, _ = run(*arguments("fill-mask", models, "--top-k", "2", TEXT, "[MASK] [MASK]"))
    assert status == 0 and len(out) == 6
    best = pipeline("fill-mask", models["fill-mask"])(TEXT)[0]
    assert out[0].split("\t") == [best["token_str"], f"{best['score']:.4f}", best["sequence"]]


def test_ask_prints_the_answer_of_each_text(run, models):
    status, out, _ = run(*arguments("ask", models, "It was  GOOD.", "a bad film"))
    answer = pipeline("question-answering", models["ask"])(question="what ?", context="a bad film")
    assert status == 0 and len(out) == 2
    assert out[1].split("\t") == [answer["answer"], f"{answer['score']:.4f}", str(answer["start"]), str(answer["end"])]


def test_embed_prints_a_vector_for_each_text(run, models):
    status, out, err = run(*arguments("embed", models, "bad", "good"))
    assert status == 0 and len(out) == 2
    vector = SentenceEncoder.from_pretrained(models["embed"]).encode("bad")
    assert [float(value) for value in out[0].split()] == pytest.approx(vector.tolist(), rel=1e-4)


@pytest.mark.parametrize("name", HEADS)
def test_each_reads_lines_from_stdin_and_gives_a_json_object_for_each(name, run, models):
    status, out, _ = run(*arguments(name, models, "--json", "-"), stdin=b"a [MASK] movie\nbad [MASK]\n")
    rows = [json.loads(line) for line in out]
    assert status == 0 and [row["text"] for row in rows] == ["a [MASK] movie", "bad [MASK]"]
    assert all(list(row)[1] == {"ner": "entities", "ask": "answers", "embed": "vector"}.get(name, "words") for row in rows)


@pytest.mark.parametrize("name", HEADS)
def test_a_mistake_is_told_in_a_line(name, run, models):
    status, _, err = run(*[word for word in arguments(name, models) if word not in ("--model", models[name])], "a")
    assert status == 2 and "--model" in err[-1]
    status, _, err = run(*arguments(name, models, "--kernels", "fastest", "a"))
    assert status == 2 and "kernels is one of" in err[-1]


def test_what_a_task_refuses_is_told_in_a_line(run, models):
    for command, message in (
        (arguments("fill-mask", models, "a movie"), "each text must have a [MASK] to fill"),
        (arguments("ask", models, ""), "a context must have a word"),
    ):
        status, out, err = run(*command)
        assert status == 1 and out == [] and message in err[0]
