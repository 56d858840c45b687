"""The core of a run: columns in, columns of answers out; one row's error is that row's alone."""

import pytest
from short_runs import stub

from minibert.errors import InputError
from minibert.run.columns import answer_columns

TEXTS = ["a b", "bad", "c", "d e f", "bad"]


def refused(value):
    if "bad" in str(value).lower():
        raise InputError(f"{value} is refused")
    return value


def task_that_refuses_in(step):
    task = stub()
    if step == "make_input":
        return task._replace(make_input=lambda columns: refused(columns["text"]))
    if step == "predict":
        return stub(lambda text: {"label": refused(text).upper()})
    return task._replace(to_columns=lambda answer: {name: refused(value) for name, value in answer.items()})


@pytest.mark.parametrize("step", ["make_input", "predict", "to_columns"])
def test_an_error_in_any_step_is_the_row_s_alone(step):
    advanced = []
    answers = answer_columns({"text": TEXTS}, task_that_refuses_in(step), lambda: advanced.append(1))
    assert answers.columns == {"label": ["A B", None, "C", "D E F", None]}
    assert [str(error).lower() if error else None for error in answers.errors] == [
        None,
        "bad is refused",
        None,
        None,
        "bad is refused",
    ]
    assert len(advanced) == len(TEXTS)


def test_no_rows_have_no_answers():
    assert answer_columns({"text": []}, stub()) == ({"label": []}, [])
