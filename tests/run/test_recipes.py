"""The recipes of minibert/README.md for engines that take a function over Arrow tables: as they stand there."""

import json
import re

import pytest
from paths import ROOT

pytestmark = pytest.mark.engines
README = (ROOT / "minibert" / "README.md").read_text(encoding="utf-8")
RECIPES = re.findall(r"^```py\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def recipe(engine):
    """The recipe that imports an engine, run -> its names."""
    (code,) = (code for code in RECIPES if re.search(rf"^(import|from) {engine}\b", code, flags=re.MULTILINE))
    names = {"__name__": "recipe"}
    exec(compile(code, engine, "exec"), names)
    return names


@pytest.fixture
def expected(run, monkeypatch):
    """The rows that `minibert run` answers, with a reason; the recipes' files are found from the root."""
    monkeypatch.chdir(ROOT)
    _, lines, _ = run("run", "--model", "minibert-sst2", "--text-column", "review", "tests/reviews.csv")
    return [{**row, "id": int(row["id"]), "reason": None} for row in map(json.loads, lines)]


def test_dask(expected):
    pytest.importorskip("dask.dataframe", reason="pip install -e '.[engines]'")
    answered = recipe("dask")["answered"]
    frame = answered.compute()
    assert list(frame.columns) == list(answered.columns) == list(expected[0])
    assert frame.drop(columns="reason").to_dict("records") == [
        {name: value for name, value in row.items() if name != "reason"} for row in expected
    ]
    assert frame["reason"].isna().all()


def test_dask_divides_the_rows(expected):
    dd = pytest.importorskip("dask.dataframe", reason="pip install -e '.[engines]'")
    names = recipe("dask")
    rows = dd.concat([names["rows"]] * 4).repartition(npartitions=3)
    frame = rows.map_partitions(names["answer"], meta=names["answered"]._meta).compute()
    assert frame["score"].tolist() == [row["score"] for row in expected] * 4


def test_daft(expected):
    pytest.importorskip("daft", reason="pip install -e '.[engines]'")
    assert recipe("daft")["answered"].to_pylist() == expected


def test_spark_s_recipe_is_python():
    """It was run by hand: Java is not among the tests' requirements."""
    (code,) = (code for code in RECIPES if "pyspark" in code)
    compile(code, "spark", "exec")
