"""Two versions are compared in pairs, two files by their ceilings; what is the same is called the same."""

import argparse
import json

import numpy as np
import pytest
from paths import ROOT

from benchmarks import compare, intervals, peaks
from benchmarks.intervals import Ratio


def options(**changes):
    settings = {"threads": 1, "minutes": 1e-3, "kernels": ["fast"], "shapes": ["1x4"], "json": None}
    return argparse.Namespace(**settings | changes)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.9, 1.1, "same"), (0.99, 1.01, "same"), (1.01, 1.04, "same"), (1.03, 1.04, "slower"), (0.9, 0.97, "faster")],
)
def test_a_verdict_needs_an_interval_beyond_the_margin(low, high, expected):
    assert Ratio((low + high) / 2, low, high, 9).verdict(compare.MARGIN) == expected


def test_an_interval_holds_the_median_and_narrows_with_more_pairs():
    random = np.random.default_rng(0)
    few, many = ([*random.normal(1.0, 0.1, count)] for count in (9, 900))
    for values in (few, many):
        for ratio in (intervals.paired(np.ones(len(values)), values), intervals.unpaired([1.0, 1.0], values)):
            assert ratio.low <= ratio.median <= ratio.high
            assert ratio.median == pytest.approx(np.median(values))
    width_of_many, width_of_few = (
        ratio.high - ratio.low for ratio in (intervals.paired(np.ones(len(v)), v) for v in (many, few))
    )
    assert width_of_many < 0.3 * width_of_few


def test_what_slows_both_leaves_the_ratio_of_pairs():
    busy = np.array([1.0, 3.0, 0.7, 1.9, 2.2])
    assert intervals.paired(2 * busy, 3 * busy) == pytest.approx(Ratio(1.5, 1.5, 1.5, 5))
    assert intervals.paired(2 * busy, 3 * busy).narrow and not intervals.unpaired(2 * busy, 3 * busy).narrow


class Scripted:
    """A version whose calls take these seconds."""

    def __init__(self, *seconds):
        self.seconds = seconds
        self.calls = 0

    def ask(self, question, check=False):
        self.calls += 1
        return self.seconds[self.calls % len(self.seconds)]


def test_pairs_end_when_the_interval_is_narrow_or_the_time_is_over():
    steady = compare.time_pairs([Scripted(1.0), Scripted(1.5)], {}, seconds=60)
    assert steady == Ratio(1.5, 1.5, 1.5, compare.MIN_PAIRS) and steady.verdict(compare.MARGIN) == "slower"
    unsteady = compare.time_pairs([Scripted(1.0), Scripted(0.5, 1.0, 2.0)], {}, seconds=0)
    assert unsteady.turns == compare.MIN_PAIRS and not unsteady.narrow


def test_the_sources_beside_themselves(capsys):
    """Both processes answer, their answers agree to the bit, and both workloads get a ratio."""
    found = compare.compare_revisions(options(first=str(ROOT), second=str(ROOT)))
    assert set(found) == {compare.TOKENIZING, "fast 1×4"}
    for comparison in found.values():
        assert isinstance(comparison, Ratio) and 0 < comparison.low <= comparison.median <= comparison.high


def test_versions_whose_answers_differ_get_no_time(monkeypatch):
    monkeypatch.setattr(compare, "difference", lambda versions, question: 0.5)
    found = compare.compare_revisions(options(first=str(ROOT), second=str(ROOT)))
    assert set(found.values()) == {"FAIL: the answers differ by 5.0e-01"}


def test_what_is_no_version_is_refused():
    with pytest.raises(SystemExit, match="a version is a commit or a folder with minibert in it; got 'no-such-commit'"):
        compare.compare_revisions(options(first="no-such-commit", second=str(ROOT)))


def figures(factor, busy=1.0, machine="a machine"):
    """A file of figures; `busy` slows all of it."""
    turns = [busy * seconds for seconds in (1.0, 1.1, 1.02, 1.05, 0.98)]
    seconds = {"1×16": {"fp32 ceiling": {"turns": turns}, "minibert fast": {"turns": [2 * factor * t for t in turns]}}}
    return {"machine": machine, "figures": {"seconds": seconds}}


@pytest.mark.parametrize(
    ("factor", "busy", "expected"), [(1, 1, "same"), (1, 2, "same"), (1.2, 1, "slower"), (0.8, 3, "faster")]
)
def test_files_are_compared_by_their_ceilings(tmp_path, factor, busy, expected):
    paths = tmp_path / "a.json", tmp_path / "b.json"
    for path, content in zip(paths, (figures(1), figures(factor, busy))):
        path.write_text(json.dumps(content))
    found = compare.compare_files(*paths)
    assert list(found) == ["1×16 minibert fast"]
    assert found["1×16 minibert fast"].verdict(compare.MARGIN_OF_FILES) == expected
    assert found["1×16 minibert fast"].median == pytest.approx(factor)


def test_files_of_two_machines_and_other_files_are_refused(tmp_path):
    paths = tmp_path / "a.json", tmp_path / "b.json"
    for path, content in zip(paths, (figures(1), figures(1, machine="another"))):
        path.write_text(json.dumps(content))
    with pytest.raises(SystemExit, match="of one machine can be compared; got a machine and another"):
        compare.compare_files(*paths)
    for content in ("[1", "[]", '{"figures": {"seconds": {}}}', '{"figures": {"seconds": {"a": {"b": {}}}}}'):
        paths[0].write_text(content)
        with pytest.raises(SystemExit, match=r"a\.json (must be what|has no times)"):
            compare.compare_files(*paths)


def test_every_ceiling_of_this_machine_has_a_row(monkeypatch):
    monkeypatch.setattr(peaks, "LONG", 1 << 20)
    monkeypatch.setattr(peaks, "TASK", 1e6)
    names = {row[0].split(",")[0].split()[0] for row in peaks.measure(1)}
    assert {"fp32", "copying", "OpenBLAS"} <= names <= {"fp32", "bf16", "int8", "copying", "OpenBLAS"}
