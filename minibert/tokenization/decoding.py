"""The way back: ids -> a string to read.

    [101, 3653, 2102, 1012, 102]  ->  "[CLS] prett. [SEP]"

Pieces lose their ## and join the token before them; other tokens get a space. Punctuation is tidied token by token,
so spaces the tokenizer put around it mostly go, but not those inside "don ' t": that takes
`clean_up_tokenization_spaces=True`, which works on the whole string.
"""

CONTRACTIONS = ((" ' ", "'"), (" n't", "n't"), (" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))
PUNCTUATION = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","))


def join_tokens(tokens, prefix="##", tidy=True):
    """Tokens -> a string, as the WordPiece decoder of the `tokenizers` library writes it."""
    text = []
    for index, token in enumerate(tokens):
        if index:
            token = token[len(prefix) :] if token.startswith(prefix) else " " + token
        text.append(_replace(token, RULES) if tidy else token)
    return "".join(text)


def clean_up(text):
    """transformers' tidying of a whole string."""
    return _replace(text, (*PUNCTUATION, *CONTRACTIONS))


# The library's own rules have one more, which makes two words of a token " do not" one: after " 'm".
RULES = (*PUNCTUATION, *CONTRACTIONS[:3], (" do not", " don't"), *CONTRACTIONS[3:])


def _replace(text, rules):
    for old, new in rules:
        text = text.replace(old, new)
    return text
