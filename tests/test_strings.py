"""Python's strings are found where CPython keeps them; where it does not, each text is a call of the tokenizer."""

import numpy as np
import pytest
from test_tokenization_batch import calls, check, plain, rows  # noqa: F401 - plain is a fixture

from minibert.errors import InputTypeError
from minibert.kernels.tokenizer import cpython_strings as strings


class Marked(str):
    """A string that shows itself otherwise; its characters are those of the text."""

    def __str__(self):
        return f"<{self[:]}>"


def test_types_made_from_strings_are_texts(plain):
    some = ["ab c", Marked("é a"), np.str_("中 un"), Marked("a \U0001f600"), Marked("[MASK] a")]
    check(plain, some)
    assert rows(plain.encode_packed(some)) == calls(plain, ["".join([text, ""]) for text in some])


def test_this_pythons_strings_are_read():
    found = strings.Layout(*strings.layout().tolist())
    for text in (*strings.SAMPLES, "", "a" * 100, "\xff", "\u0100", "\U0010ffff"):
        assert strings.is_read(text, found), ascii(text)


@pytest.mark.parametrize("field", strings.Layout._fields)
def test_a_layout_that_is_wrong_in_any_field_is_seen(field):
    found = strings.Layout(*strings.layout().tolist())
    wrong = found._replace(**{field: getattr(found, field) + (8 if field in ("type", "length", "state") else 1)})
    assert not all(strings.is_read(text, wrong) for text in strings.SAMPLES)


def test_where_strings_are_kept_otherwise_each_text_is_a_call(plain, monkeypatch):
    monkeypatch.setattr(strings, "layout", lambda: None)
    monkeypatch.setattr(plain._pipeline, "batch", None)
    check(plain, ["ab c", "", "é", "[MASK]"])
    with pytest.raises(InputTypeError, match="encode_packed takes a list of texts"):
        plain.encode_packed(["a", None])
