"""Strings are read from CPython's memory; if they are laid out differently, each text is a call of the tokenizer."""

import numpy as np
import pytest
from packed_encodings import calls, check, rows

from minibert.errors import InputTypeError
from minibert.kernels.tokenizer import cpython_strings


class Marked(str):
    """A string that shows itself otherwise; its characters are those of the text."""

    def __str__(self):
        return f"<{self[:]}>"


def test_types_made_from_strings_are_texts(plain):
    some = ["ab c", Marked("é a"), np.str_("中 un"), Marked("a \U0001f600"), Marked("[MASK] a")]
    check(plain, some)
    assert rows(plain.encode_packed(some)) == calls(plain, ["".join([text, ""]) for text in some])


def test_this_pythons_strings_are_read():
    fields = cpython_strings.StringLayout(*cpython_strings.layout().tolist())
    for text in (*cpython_strings.SAMPLES, "", "a" * 100, "\xff", "\u0100", "\U0010ffff"):
        assert cpython_strings.is_read(text, fields), ascii(text)


@pytest.mark.parametrize("field", cpython_strings.StringLayout._fields)
def test_a_layout_that_is_wrong_in_any_field_is_seen(field):
    fields = cpython_strings.StringLayout(*cpython_strings.layout().tolist())
    wrong = fields._replace(**{field: getattr(fields, field) + (8 if field in ("type", "length", "state") else 1)})
    assert not all(cpython_strings.is_read(text, wrong) for text in cpython_strings.SAMPLES)


def test_with_another_layout_each_text_is_a_call(plain, monkeypatch):
    monkeypatch.setattr(cpython_strings, "layout", lambda: None)
    monkeypatch.setattr(plain._pipeline, "batch_encoder", None)
    check(plain, ["ab c", "", "é", "[MASK]"])
    with pytest.raises(InputTypeError, match="encode_packed takes a list of texts"):
        plain.encode_packed(["a", None])
