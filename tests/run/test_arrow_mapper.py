"""`Mapper`: every task of the command line over Arrow tables, with the answers of `minibert run`, to the byte."""

import json
import pickle
import subprocess
import sys

import pytest
from checkpoints import make_checkpoint
from paths import ROOT

from minibert import InputError, get_num_threads, set_num_threads
from minibert.errors import InputTypeError
from minibert.pipelines import pipeline_class
from minibert.run.tasks import command_tasks, make_task
from minibert.run.writers import json_line

pa = pytest.importorskip("pyarrow", reason="pip install -e '.[parquet]'")
arrow = pytest.importorskip("minibert.run.arrow")
Mapper = arrow.Mapper

ROWS = [{"id": n, "text": text, "q": "what ?"} for n, text in enumerate(["a [MASK] movie", "not [MASK] , is it ?", "[MASK]"])]
ENTAILMENT = {"num_labels": 3, "id2label": {0: "contradiction", 1: "neutral", 2: "entailment"}}
CASES = {  # task -> head, its configuration, and options of which each is a case
    "text-classification": ("ForSequenceClassification", {}, [{}, {"top_k": 2}, {"pair_column": "q"}]),
    "token-classification": ("ForTokenClassification", {}, [{}, {"strategy": "none"}, {"strategy": "max"}]),
    "question-answering": ("ForQuestionAnswering", {}, [{"question": "what ?"}, {"question_column": "q"}]),
    "fill-mask": ("ForMaskedLM", {}, [{"top_k": 2}]),
    "feature-extraction": ("Model", {}, [{}]),
    "zero-shot-classification": ("ForSequenceClassification", ENTAILMENT, [{"labels": "film, movie"}]),
    "sentence-embeddings": ("Model", {}, [{}, {"precision": "ubinary"}, {"truncate_dim": 4}]),
    "text-ranking": ("ForSequenceClassification", {"num_labels": 1}, [{"query": "what ?"}, {"query_column": "q"}]),
}


@pytest.fixture(autouse=True)
def same_threads():
    before = get_num_threads()
    yield
    set_num_threads(before)


def flags(options):
    for name, value in options.items():
        yield from (f"--{name.replace('_', '-')}", str(value))


@pytest.mark.parametrize("task", command_tasks())
def test_every_task_has_the_answers_of_minibert_run_to_the_byte(task, run, tmp_path):
    head, config, cases = CASES[task]
    folder = str(make_checkpoint(tmp_path / "m", "bert", head, **config))
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    table = pa.Table.from_pylist(ROWS)
    for options in cases:
        status, lines, err = run("run", "--task", task, "--model", folder, str(tmp_path / "in.jsonl"), *flags(options))
        assert status == 0, err
        for divided in (table, pa.concat_tables([table.slice(0, 1), table.slice(1)])):
            answered = Mapper(task, folder, **options)(divided)
            assert answered.schema == Mapper(task, folder, **options).schema(table.schema)
            assert answered["reason"].null_count == len(ROWS)
            rows = answered.drop_columns(["reason"]).to_pylist()
            assert [json_line(row).decode().rstrip("\n") for row in rows] == lines


@pytest.mark.parametrize("task", command_tasks())
def test_no_answer_has_a_column_of_the_name_of_the_reasons(task):
    declared = pipeline_class(task).__dict__["answer_types"]
    assert isinstance(declared, property) or "reason" not in declared


@pytest.fixture
def table():
    return pa.table({"text": ["good", None, "bad " * 30, ""]})


def test_a_bad_row_has_its_reason_and_no_answer(model, table):
    answered = Mapper("sentiment-analysis", model)(table)
    assert answered.column_names == ["text", "label", "score", "reason"]
    assert [label is None for label in answered["label"].to_pylist()] == [False, True, True, False]
    first, missing, long, empty = answered["reason"].to_pylist()
    assert first is None and empty is None and missing == "column 'text' must be text; it is NoneType"
    assert long.endswith("Cut it with truncate=True.")
    assert Mapper("text-classification", model, truncate=True)(table)["reason"].to_pylist()[2] is None


def test_a_bad_row_is_an_error_where_no_column_is_named(model, table):
    mapper = Mapper("text-classification", model, reason_column=None)
    with pytest.raises(InputError, match="row 1 of a batch of 4: column 'text' must be text"):
        mapper(table)
    assert mapper(table.slice(0, 1)).column_names == ["text", "label", "score"]


def test_bytes_that_are_no_text_are_the_row_s_alone(model):
    texts = pa.array([b"good", b"\xff", b"bad"]).view(pa.string())
    reasons = Mapper("text-classification", model)(pa.table({"text": texts}))["reason"].to_pylist()
    assert reasons[0] is None and "utf-8" in reasons[1] and reasons[2] is None


def test_a_record_batch_gives_a_record_batch_and_no_rows_the_schema(model):
    mapper = Mapper("text-classification", model)
    table = pa.table({"text": ["good"] * 3000})
    (batch,) = table.to_batches()
    answered = mapper(batch)
    assert isinstance(answered, pa.RecordBatch) and pa.Table.from_batches([answered]).equals(mapper(table).combine_chunks())
    assert mapper(table.slice(0, 0)).schema == mapper(batch.slice(0, 0)).schema == mapper.schema(table.schema)


def test_it_pickles_before_and_after_a_call_and_a_process_loads_a_model_once(model, table, monkeypatch):
    calls = []
    monkeypatch.setattr(arrow, "make_task", lambda *names, **more: calls.append(names) or make_task(*names, **more))
    arrow.load.cache_clear()
    mapper = Mapper("text-classification", model, kernels={"gelu": "naive"})
    assert calls == []
    copy = pickle.loads(pickle.dumps(mapper))
    assert copy(table).equals(mapper(table)) and pickle.loads(pickle.dumps(mapper))(table).equals(mapper(table))
    assert len(calls) == 1 and len(pickle.dumps(mapper)) < 1000


def test_it_uses_the_threads_it_was_given(model, table):
    set_num_threads(3)
    Mapper("text-classification", model, threads=2)(table)
    assert get_num_threads() == 2
    Mapper("text-classification", model)(table)
    assert get_num_threads() == 1


@pytest.mark.parametrize(
    "options, message",
    [
        ({"text_column": "review"}, "the table must have a column 'review'; it has 'text', 'label'. Name another with text_c"),
        ({"pair_column": "b"}, "must have a column 'b'.*Name another with pair_column="),
        ({}, "already has a column 'label'.*Pass prefix="),
        ({"prefix": "p_", "reason_column": "text"}, "already has a column 'text'"),
        ({"labels": "a,b"}, "--labels does nothing for text-classification"),
        ({"top_k": "2"}, "top_k must be an integer, 1 or more; got '2'"),
        ({"truncate": 1}, "truncate must be True or False; got 1"),
        ({"pair_column": 5}, "pair_column must be text; got 5"),
        ({"threads": 0}, "threads must be an integer, 1 or more; got 0"),
        ({"prefix": 1}, "prefix must be text; got 1"),
        ({"kernels": 1}, "kernels is a preset, or variants by operation; got 1"),
        ({"kernels": {"linear": ["naive"]}}, "kernels is a preset, or variants by operation; got .*naive"),
    ],
)
def test_what_cannot_be_answered_is_one_error(options, message, model):
    with pytest.raises(InputError, match=message):
        Mapper("text-classification", model, **options)(pa.table({"text": ["a"], "label": ["b"]}))


def test_a_table_of_another_library_is_refused(model):
    with pytest.raises(InputTypeError, match="takes a pyarrow.Table or RecordBatch; got list"):
        Mapper("text-classification", model)([{"text": "a"}])


def test_a_run_over_text_files_does_not_import_pyarrow(model, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "good"}\n')
    program = (
        "import sys; from minibert.cli import main; status = main(); assert 'pyarrow' not in sys.modules; sys.exit(status)"
    )
    arguments = ["run", "--model", model, "--kernels", "reference", "in.jsonl"]
    subprocess.run([sys.executable, "-c", program, *arguments], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, check=True)
