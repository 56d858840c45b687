"""Back to text: ids -> a string to read.

    [101, 3653, 2102, 1012, 102]  ->  "[CLS] prett. [SEP]"

Pieces lose their ## and are joined to the token before them; a space goes before every other token. Spaces before
punctuation are removed token by token; those inside "don ' t" remain: `clean_up_tokenization_spaces=True` removes
them, as it works on the whole string.
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
    """transformers' clean_up_tokenization: the same on a whole string."""
    return _replace(text, (*PUNCTUATION, *CONTRACTIONS))


# The library has one rule more, after " 'm": " do not" -> " don't".
RULES = (*PUNCTUATION, *CONTRACTIONS[:3], (" do not", " don't"), *CONTRACTIONS[3:])


def _replace(text, rules):
    for old, new in rules:
        text = text.replace(old, new)
    return text
