"""benchmarks/ops.py times nothing that is wrong; its sizes, plots, ceilings and clock."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest

from benchmarks import measuring, ops, partitioning, peaks, sizes
from minibert.kernels.catalog import operations, variants
from minibert.kernels.registry import REGISTRY
from minibert.kernels.runtime.thread_count import get_num_threads


def results(operation):
    return list(ops.benchmark(operation, quick=True))


def only(monkeypatch, operation, **functions):
    """The registry with no other variants of the operation than the reference and these."""
    known = variants(operation)
    replaced = {name: replace(known["reference"], name=name, function=function) for name, function in functions.items()}
    monkeypatch.setitem(REGISTRY.variants, operation, {"reference": known["reference"], **replaced})


def test_a_right_variant_gets_a_time_and_a_wrong_one_none(monkeypatch):
    only(monkeypatch, "relu", wrong=lambda x: np.abs(x), right=lambda x: np.maximum(x, np.float32(0)))
    figures = results("relu")
    by_name = {one.variant: one for one in figures}
    assert by_name["right"].median > 0 and by_name["right"].unit == "GB/s"
    assert by_name["wrong"].median is None and by_name["wrong"].note.startswith("FAIL: error ")
    wrong = ops.line(by_name["wrong"])
    assert "FAIL: error" in wrong and " ms " not in wrong and "GB/s" not in wrong
    row = next(row for row in ops.tables(figures)["relu"]["rows"] if row[0] == "wrong")
    assert row[1] == "FAIL"


def test_a_slow_variant_is_skipped_at_the_next_size(monkeypatch):
    only(monkeypatch, "linear")
    monkeypatch.setattr(ops, "MAX_SECONDS", 0)
    figures = results("linear")
    ceiling, timed, skipped = figures
    assert skipped.note.startswith("skipped: would take ")
    assert (ceiling.variant, ceiling.unit, timed.unit) == ("fp32 ceiling", "GFLOP/s", "GFLOP/s")
    assert timed.share == pytest.approx(timed.rate / ceiling.rate)


def test_sizes_that_fit_into_the_caches_are_timed_without_them_too(monkeypatch):
    only(monkeypatch, "relu")
    evictions: list[int] = []
    monkeypatch.setattr(peaks, "memory", lambda: (lambda: evictions.append(1), 1.0))
    monkeypatch.setattr(ops, "ROUNDS", 2)
    monkeypatch.setattr(ops, "ceiling", lambda name: (lambda: None, 1.0))
    shown = {one.size: one for one in ops.benchmark("relu") if one.variant == "reference"}
    assert list(shown) == ["128 × 768", "128 × 768, cold", "16384 × 768"]
    assert shown["128 × 768, cold"].median > 0 and len(evictions) == 2 * measuring.COLD_CALLS


def test_a_fused_operation_is_timed_beside_its_parts():
    assert list(ops.candidates("linear_gelu"))[:2] == ["composed", next(iter(variants("linear_gelu")))]


def test_a_kernel_of_whole_numbers_is_measured_against_its_own_ceiling(monkeypatch):
    def wholly(x, weight, bias):
        return x

    only(monkeypatch, "linear", int8_wholly=wholly)
    size = sizes.Size("any", (), (), 1.0, 1.0, True)
    limits = [ops.ceiling_of(name, size) for name in ("reference", "int8_wholly", "amx", "amx_bf16", "amx_int8_tile")]
    own = ["fp32", "int8", "bf16 tiles", "bf16 tiles", "int8 tiles"]
    assert limits == [f"{numbers if peaks.instruction(numbers) else 'fp32'} ceiling" for numbers in own]


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
    figures = [
        ops.Result("relu", name, "1 × 2", "", 0.0, 1e-3, 0.1, rate, "GB/s", 0.5, 0.2, rate)
        for name, rate in (("naive", 1e9), ("vector", 5e9))
    ]
    above = [ops.Result("relu", name, "1 × 2", "", 0.0, 1e-3, 0.1, 1e10, unit, 1.0) for name, unit in ops.CEILINGS.items()]
    written = ops.draw(tmp_path / "new", figures + above)
    assert [path.name for path in written] == ["ladder.png", "ladder.svg", "roofline.png", "roofline.svg"]
    assert all(path.stat().st_size > 1000 for path in written)


# --- the ceilings and the clock ---


def test_the_loop_of_multiply_adds_is_valid_for_every_width():
    for loop in (peaks.fma(4), peaks.fma(8), peaks.fma(16), peaks.pmaddwd(), peaks.vpdpbusd(), peaks.vdpbf16ps()):
        llvm.parse_assembly(loop.source).verify()
    for name, factor_bytes in peaks.TILE_BYTES.values():
        llvm.parse_assembly(peaks.Tiles(name, factor_bytes).source).verify()


def test_the_ceilings_of_this_machine_are_numbers(monkeypatch):
    monkeypatch.setattr(peaks, "LONG", 1 << 20)
    for call, work in ((peaks.arithmetic(1e6), 1e6), peaks.memory(), peaks.blas()):
        assert 0 < work / measuring.seconds_of(call) < 1e15


@pytest.mark.parametrize(("seconds", "calls", "counted"), [(0.1, 4, 3), (0.02, 11, 10), (0.5, 1, 1)])
def test_all_have_their_turn_in_every_round_and_a_short_first_call_does_not_count(monkeypatch, seconds, calls, counted):
    turns = []
    monkeypatch.setattr(measuring, "seconds_of", lambda call: call() or seconds)
    timings = measuring.time_in_turn(
        {name: lambda name=name: turns.append(name) for name in "ab"}, rounds=2, pause=0, turn=0.19
    )
    assert "".join(turns) == ("a" * calls + "b" * calls) * 2
    assert {name: timing.count for name, timing in timings.items()} == dict.fromkeys("ab", 2 * counted)


def test_rounds_follow_while_more_are_wanted():
    counts = []
    timed = measuring.time_in_turn(
        {"a": lambda: None}, 2, 0, 0, more=lambda timed: counts.append(len(timed["a"].turns)) or len(counts) < 3
    )
    assert counts == [2, 3, 4] and len(timed["a"].turns) == 4


def test_a_median_and_its_spread():
    assert measuring.summary([[4.0, 1.0, 2.0], [3.0, 5.0]]) == (3.0, 0.5, 5, (2.0, 4.0))
    assert measuring.summary([[2.0]]) == (2.0, 0.0, 1, (2.0,))


# --- many threads ---


def test_tasks_go_to_the_thread_that_is_free_first():
    assert partitioning.end_of_last([3.0, 1.0, 1.0, 1.0], 2) == 3.0
    assert partitioning.cell([4.0, 2.0], 3) == "2 tasks, 1.33, 2.00"


@pytest.mark.parametrize("rows", [1, 16, 500, 4096])
@pytest.mark.parametrize("threads", [1, 2, 16, 64])
def test_the_tasks_of_an_operation_are_all_of_its_work(rows, threads, monkeypatch):
    """And as many of a product as its kernel is started with."""
    monkeypatch.setattr("minibert.kernels.gemm.gemm.get_num_threads", lambda: threads)
    monkeypatch.setattr("minibert.kernels.ops.attention_f32.get_num_threads", lambda: threads)
    costs = partitioning.product_costs(rows, 768, 800, 3)
    tiles, panels = -(-rows // partitioning.MR), -(-800 // partitioning.NR)
    assert len(costs) == partitioning.partition_tasks(partitioning.FLOAT32, tiles, 768, panels, 3)[1]
    reads = 3 * 768 * panels * partitioning.WEIGHT_ROWS
    assert sum(costs) >= 3 * 768 * panels * rows + reads * (1 - 1e-9)
    assert sum(partitioning.attention_costs(2, rows)) >= 2 * 12 * rows * rows
    assert sum(partitioning.norm_costs(rows)) == rows


def test_the_table_leaves_the_threads_as_they_were():
    before = get_num_threads()
    found = partitioning.table(["1x16"], [8, 64])
    assert get_num_threads() == before and len(found["rows"]) == len(partitioning.OPERATIONS)
