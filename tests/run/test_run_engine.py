"""`minibert run --engine`: parts, order, resuming and refusals, with workers in this process. test_ray_engine.py has Ray's."""

import csv
import json
import os
import random
import re
import sys
import tracemalloc

import pytest
from json_lines import read
from parts import concatenated, single_machine
from short_runs import stub

from minibert.errors import InputError
from minibert.run import environment, ray_engine
from minibert.run.blocks import Block, plan_blocks
from minibert.run.environment import check_environment, describe_environment
from minibert.run.job import Job
from minibert.run.parts import Counts, OutputFolder, answer_block
from minibert.run.ray_engine import Worker
from minibert.run.writers import json_line

WORDS = ["a", "bad", "film", "not", "very", "good", "this", "movie", "is", "great", "and", "i", "love", "it", "hate"]
FLAGS = ("--kernels", "fast", "--rows-per-part", "7")


def sentence():
    return " ".join(random.choices(WORDS, k=random.randint(0, 12)))


@pytest.fixture
def inputs(tmp_path):
    """A jsonl with broken rows, and a folder with a csv and a tsv."""
    random.seed(3)
    lines = [json.dumps({"id": n, "text": sentence()}) for n in range(40)]
    lines[5], lines[21], lines[33] = "{", '{"text": 5}', '{"text": "a", "label": "taken"}'
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    (tmp_path / "folder").mkdir()
    with open(tmp_path / "folder" / "b.csv", "w", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *([str(n), sentence() + '\n"'] for n in range(20))])
    (tmp_path / "folder" / "a.tsv").write_text("text\tid\n" + "".join(f"{sentence()}\t{n}\n" for n in range(9)))
    return [str(tmp_path / "rows.jsonl"), str(tmp_path / "folder")]


@pytest.fixture
def workers(monkeypatch):
    """Runs the workers in this process, in any order; `stop_after` blocks it is killed. Returns what they were given."""

    class Workers:
        stop_after = None
        blocks: list = []
        cluster = None

        def answer_blocks(self, blocks, work, cluster):
            self.blocks, self.cluster = list(blocks), cluster
            worker = Worker(work)
            for done, block in enumerate(random.sample(blocks, len(blocks))):
                if done == self.stop_after:
                    raise KeyboardInterrupt
                counts = worker.answer(block)
                if error := counts.pop("error"):
                    raise InputError(error)
                yield Counts(**counts)

    workers = Workers()
    monkeypatch.setattr(ray_engine, "import_ray", lambda: None)
    monkeypatch.setattr(ray_engine, "answer_blocks", workers.answer_blocks)
    return workers


@pytest.fixture
def command(model, inputs, tmp_path, run):
    def command(*more, output="out", files=None):
        arguments = ["run", *(files or inputs), "--model", model, "-o", str(tmp_path / output), "--engine", "ray"]
        return run(*arguments, *FLAGS, *more)

    return command


def test_sorted_parts_without_the_order_are_the_bytes_of_a_run_on_one_machine(command, workers, inputs, model, run, tmp_path):
    status, _, (message,) = command()
    out = tmp_path / "out"
    assert status == 0 and message == f"minibert: 3 rows have no answer; they are in {out}/errors-*.jsonl."
    files = [inputs[0], inputs[1] + "/a.tsv", inputs[1] + "/b.csv"]
    expected = single_machine(run, files, ["--model", model, "--kernels", "fast"], tmp_path)
    assert concatenated(out) == expected
    assert len(list(out.glob("part-*"))) == 6 + 2 + 3
    first = read(out / "part-000001-000000000001.jsonl")[0]
    assert list(first) == ["order", "text", "id", "label", "score"] and first["order"] == "000001-000000000002"
    names = [name for name in os.listdir(out) if not name.startswith(("part-", "errors-"))]
    assert names == ["run.json"]


def test_a_killed_run_is_resumed_with_the_blocks_that_have_no_part(command, workers, tmp_path):
    workers.stop_after = 4
    status, _, (message,) = command()
    assert status == 130 and "interrupted; 4 parts are done. Run the same command with --resume" in message
    (tmp_path / "out" / ".part-000000-000000000001.jsonl.abc").write_text("of a killed worker")
    workers.stop_after = 3
    assert command("--resume")[0] == 130 and len(workers.blocks) == 7
    workers.stop_after = None
    assert command("--resume")[0] == 0 and len(workers.blocks) == 4
    command(output="unbroken")
    assert concatenated(tmp_path / "out") == concatenated(tmp_path / "unbroken")
    assert not list((tmp_path / "out").glob(".*"))
    status, _, (first, _) = command("--resume")
    assert status == 0 and first.endswith("is complete already; to write it again, delete it.")


def test_another_run_s_folder_is_left_alone(command, workers, inputs, tmp_path):
    workers.stop_after = 2
    command()
    assert "has the parts of a run. Continue it with --resume, or delete the folder" in command()[2][0]
    for more in (("--prefix", "p_"), ("--rows-per-part", "8"), ("--order-column", "o"), ("--truncate",)):
        status, _, (message,) = command("--resume", *more)
        assert status == 1 and f"{more[0]} was" in message
    os.utime(inputs[0], (1, 1))
    assert "the inputs was" in command("--resume")[2][0]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert "a new or an empty folder" in command(output="mine")[2][0]
    (tmp_path / "out" / "run.json").write_text("{}")
    assert "must be the state of a run" in command("--resume")[2][0]


def test_bad_rows_of_a_run_that_had_no_part_are_not_counted(command, workers, tmp_path):
    workers.stop_after = 0
    assert command()[0] == 130
    (tmp_path / "out" / "errors-000000-000000000001.jsonl").write_text("{}\n")
    workers.stop_after = None
    assert "3 rows have no answer" in command()[2][0]


def test_strict_ends_at_a_bad_row_and_names_it(command, workers, inputs):
    status, _, (message,) = command("--strict", files=inputs[:1])
    assert status == 1 and re.search(r"rows\.jsonl, line \d+: ", message)


def test_a_worker_has_as_many_threads_as_cpus(command, workers, monkeypatch):
    threads = []
    monkeypatch.setattr(ray_engine, "set_num_threads", threads.append)
    command("--cpus-per-worker", "3", "--workers", "2", "--address", "auto")
    assert threads == [3] and workers.cluster == ("auto", 2, 3)


@pytest.mark.parametrize("name", ["minibert", "NumPy", "processor", "instructions", "Python"])
def test_a_worker_with_other_versions_or_another_processor_is_refused(name):
    own = describe_environment()
    check_environment(own, "here")
    with pytest.raises(InputError, match=f"host-2 has .*{name}.*MINIBERT_ISA"):
        check_environment({**own, name: "another"}, "host-2")


def test_that_a_worker_refuses_is_the_end_of_the_run(command, workers, monkeypatch):
    versions = iter(["0.0.1", "0.0.2"])  # of the driver, then of the worker
    monkeypatch.setattr(environment, "describe_environment", lambda: {"minibert": next(versions)})
    status, _, (message,) = command()
    assert status == 1 and "all workers must have the driver's versions and processor" in message


def test_a_worker_that_does_not_see_the_folder_refuses(model):
    work = ray_engine.Work(
        "text-classification", model, "text", {}, "reference", None, "", "order", False, "/nowhere", 1, {}, None
    )
    work = work._replace(environment=describe_environment())
    counts = Worker(work).answer(Block(0, "/nowhere.jsonl", "jsonl", None))
    assert "all nodes must see the output's folder" in counts["error"]


def test_what_ends_a_worker_and_is_none_of_minibert_s_errors_is_one_error():
    class Ray:
        class exceptions:
            class RayError(Exception):
                pass

    def rows():
        yield {"rows": 1}
        raise Ray.exceptions.RayError("Traceback:\n  a file\nModuleNotFoundError: No module named 'minibert'\n")

    translated = ray_engine.translate_ray_errors(Ray, rows())
    assert next(translated) == {"rows": 1}
    with pytest.raises(InputError, match="a worker cannot go on: ModuleNotFoundError: No module named 'minibert'. All nodes"):
        next(translated)


def test_memory_of_a_worker_does_not_grow_with_the_rows(tmp_path):
    def peak(rows):
        path, folder = tmp_path / f"{rows}.txt", tmp_path / f"{rows}"
        folder.mkdir()
        path.write_text("a short text\n" * rows)
        job = Job(stub(), json_line, "", False)
        tracemalloc.start()
        counts = [
            answer_block(block, job, "order", folder, int) for block in plan_blocks(Block(0, str(path), "txt", None), 500)
        ]
        allocated = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert sum(count.rows for count in counts) == rows
        return allocated

    peak(1_000)  # what is allocated once
    assert peak(20_000) < peak(2_000) * 1.2 + 50_000


def test_an_output_folder_without_a_run_has_no_bad_rows(tmp_path):
    folder = OutputFolder(str(tmp_path / "new"))
    assert folder.begin({"a": 1}, resume=True) and folder.saved == "" and folder.count_bad_rows() == 0


@pytest.mark.parametrize(
    "more, message",
    [
        (["--threads", "2"], "--threads is for a run on one machine; got --engine ray. Pass --cpus-per-worker"),
        (["--limit", "2"], "--limit is for a run on one machine"),
        (["--errors", "x"], "Bad rows are in FOLDER/errors"),
        (["--output-format", "csv"], "the parts of --engine are jsonl; got --output-format csv"),
        (["-o", "-"], "Pass -o FOLDER"),
        (["--order-column", "id"], "already has a column 'id', which is also the name of the order's column"),
        (["--order-column", "score"], "a column of the answers has the name of the order's column, 'score'"),
        (["--text-column", "review"], "must have a column 'review'"),
        (["-o", "folder/out"], "the output's folder must not be an input, nor in one"),
        (["-o", "folder"], "the output's folder must not be an input, nor in one"),
    ],
)
def test_what_an_engine_does_not_take_is_one_error(more, message, command, workers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = command(*more)
    assert status == 1 and len(err) == 1 and message in err[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name, message",
    [
        ("-", "an input of --engine is a file, a folder or a URL, which all nodes can read; got stdin"),
        ("nowhere", "an input's name must end in its format"),
        ("nowhere.jsonl", "nowhere.jsonl cannot be read: No such file"),
        ("nosuch://nowhere.jsonl", "a URL that fsspec reads"),
        ("", "a file's name must be text with a character"),
    ],
)
def test_an_input_that_cannot_be_read_is_one_error(name, message, command, workers, inputs):
    status, _, err = command(files=[inputs[0], name])
    assert status == 1 and len(err) == 1 and message in err[0]


@pytest.mark.parametrize("flag", ["--workers", "--cpus-per-worker", "--rows-per-part", "--order-column", "--address"])
def test_one_machine_does_not_take_the_options_of_an_engine(flag, run, model, inputs):
    status, _, err = run("run", inputs[0], "--model", model, flag, "2")
    assert status == 1 and f"{flag} is for a run on several machines" in err[0]


def test_one_machine_takes_one_input(run, model, inputs):
    status, _, err = run("run", *inputs, "--model", model)
    assert status == 1 and "a run has one input; got 2" in err[0]


def test_without_ray_the_error_names_the_extra(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    status, _, err = command()
    assert status == 1 and "pip install 'minibert-cpu[ray]'" in err[0]
