"""What tests of parity share: a model of transformers, and the same loaded here."""

import functools

import pytest


@pytest.fixture
def pair(tmp_path):
    """make_pair of parity.py in a folder of the test's own."""
    from parity import make_pair  # skips the test if torch or transformers is not installed

    return functools.partial(make_pair, tmp_path)
