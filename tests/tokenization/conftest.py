"""What tests of tokenizers share."""

import pytest
from tokenization_cases import our_tokenizer, troubled_vocab


@pytest.fixture(scope="module")
def plain():
    return our_tokenizer(troubled_vocab())
