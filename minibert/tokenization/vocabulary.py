"""The vocabulary of a tokenizer: tokens <-> ids, the special tokens, and tokens a user adds.

    convert_tokens_to_ids("hello") -> 7592      convert_ids_to_tokens(7592) -> "hello"      mask_token_id -> 103

Added tokens get ids after the vocabulary's own, as the reference gives them; a token that is in the vocabulary
already keeps its id, and is from then on matched whole.
"""

from functools import cached_property

from minibert.errors import InputError, InputTypeError

from .added_tokens import AddedToken, Matcher
from .fast_pipeline import FastPipeline
from .pre_tokenizer import BERT

NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class Vocabulary:
    """The part of a tokenizer that knows tokens. Needs a Normalizer and a WordPiece model."""

    _pre_tokenizer = BERT

    def __init__(self, normalizer, model):
        self._normalizer, self._model = normalizer, model
        self._added = {}  # id -> AddedToken
        self._shown = {}  # id -> how it is written in an answer, which is the normal form of a normalized token
        self._added_ids = {}  # content -> id
        self._next_id = len(model.vocab)
        self._specials, self._others = {}, {}  # contents, in the order that decides between two of one normal form
        self._named = dict.fromkeys(NAMED)  # "mask_token" -> "[MASK]"
        self._extra_special = []

    # --- adding tokens ---

    def add_tokens(self, new_tokens, special_tokens=False):
        """Add a token, or a list of them (str or AddedToken); returns how many were new or changed."""
        if isinstance(new_tokens, (str, AddedToken)):
            new_tokens = [new_tokens]
        tokens = [_resolve(token, special_tokens) for token in new_tokens]
        before = dict(self._added), dict(self._added_ids), dict(self._specials), dict(self._others), self._next_id
        changed = [token for token in tokens if self._add(token)]
        try:
            self._pipeline = self._make_pipeline()
        except InputError:
            self._added, self._added_ids, self._specials, self._others, self._next_id = before
            raise
        return len(changed)

    def add_special_tokens(self, special_tokens_dict, replace_extra_special_tokens=True):
        """Name special tokens, {"mask_token": "<mask>", "extra_special_tokens": [...]}, and add them."""
        named, tokens = dict(special_tokens_dict), []
        if "additional_special_tokens" in named:
            named.setdefault("extra_special_tokens", named.pop("additional_special_tokens"))
        unknown = sorted(set(named) - {*NAMED, "extra_special_tokens"})
        if unknown:
            raise InputError(f"special tokens are named {', '.join(NAMED)} or extra_special_tokens; got {unknown}.")
        extra = named.pop("extra_special_tokens", [])
        if extra and replace_extra_special_tokens:
            self._extra_special = []
        for token in extra:
            if str(token) not in self._extra_special:
                self._extra_special.append(str(token))
                tokens.append(token)
        for name, token in named.items():
            self._named[name] = str(token)
            tokens.append(token)
        return self.add_tokens([_special(token) for token in tokens], special_tokens=True)

    def _add(self, token):
        if not token.content:
            return False
        if token.special:
            self._specials.setdefault(token.content)
        if token == self._added.get(self._added_ids.get(token.content)):
            return False
        number = self._token_id(token.content)
        if number is None:
            number = self._next_id
        self._next_id = max(self._next_id, number + 1)
        self._added_ids[token.content] = number
        self._added[number] = token
        if token.content not in self._specials:
            self._others.setdefault(token.content)
        return True

    def _make_pipeline(self):
        targets = {False: {}, True: {}}
        for content in (*self._specials, *self._others):
            number = self._token_id(content)
            token = self._added[number]
            targets[token.normalized].setdefault(self._shown_as(token), (number, token))
        raw, normal = Matcher(targets[False]), Matcher(targets[True])
        self._shown = {number: self._shown_as(token) for number, token in self._added.items()}
        return FastPipeline(self._normalizer, self._model, raw, normal, self._pre_tokenizer)

    def _shown_as(self, token):
        """How an added token comes back from its id: as it is looked for."""
        return self._normalizer.normalize(token.content)[0] if token.normalized else token.content

    @cached_property
    def _pipeline(self):
        return self._make_pipeline()

    # --- tokens and ids ---

    def _token_id(self, token):
        number = self._added_ids.get(token)
        return self._model.vocab.get(token) if number is None else number

    def _token(self, number):
        token = self._shown.get(number)
        return self._model.tokens.get(number) if token is None else token

    def convert_tokens_to_ids(self, tokens):
        """A token or a list of them -> its id; an unknown one gets the id of unk_token."""
        if isinstance(tokens, str):
            number = self._token_id(tokens)
            return self._token_id(self.unk_token) if number is None else number  # None where that is unknown as well
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def convert_ids_to_tokens(self, ids, skip_special_tokens=False):
        """An id or a list of them -> its token; None for an id that is not in the vocabulary."""
        if not hasattr(ids, "__iter__") or isinstance(ids, str):
            return self._token(as_id(ids))
        skipped = set(self.all_special_ids) if skip_special_tokens else ()
        return [self._token(number) for number in map(as_id, ids) if number not in skipped]

    def get_vocab(self):
        """{token: id}, added tokens too."""
        return {**self._model.vocab, **self._added_ids}

    vocab = property(get_vocab)

    def get_added_vocab(self):
        return {token.content: number for number, token in sorted(self._added.items())}

    @property
    def added_tokens_decoder(self):
        """{id: AddedToken}."""
        return dict(sorted(self._added.items()))

    @property
    def added_tokens_encoder(self):
        return self.get_added_vocab()

    @property
    def vocab_size(self):
        """Without the added tokens; len(tokenizer) is with them."""
        return len(self._model.vocab)

    def __len__(self):
        return len({*self._model.vocab, *self._added_ids})

    def __bool__(self):
        return True

    # --- special tokens ---

    @property
    def special_tokens_map(self):
        return {name: token for name, token in self._named.items() if token is not None}

    @property
    def extra_special_tokens(self):
        return list(self._extra_special)

    @property
    def all_special_tokens(self):
        return list(dict.fromkeys([*self.special_tokens_map.values(), *self._extra_special]))

    @property
    def all_special_ids(self):
        return self.convert_tokens_to_ids(self.all_special_tokens)


def _named_properties(name):
    """The properties `mask_token` and `mask_token_id` for a name."""

    def token(self):
        return self._named[name]

    def set_token(self, token):
        if token is not None and not isinstance(token, (str, AddedToken)):
            raise InputTypeError(f"{name} must be a string or an AddedToken; got {token!r}.")
        self._named[name] = None if token is None else str(token)

    def token_id(self):
        return None if self._named[name] is None else self.convert_tokens_to_ids(self._named[name])

    def set_token_id(self, number):
        set_token(self, None if number is None else self.convert_ids_to_tokens(number))

    setattr(Vocabulary, name, property(token, set_token))
    setattr(Vocabulary, f"{name}_id", property(token_id, set_token_id))


for _name in NAMED:
    _named_properties(_name)


def as_id(value):
    """An id as an int; NumPy's integers count, booleans, floats and negative numbers do not."""
    number = value if type(value) is int else getattr(value, "__index__", lambda: None)()
    if number is None or number < 0 or isinstance(value, bool):
        raise InputTypeError(f"a token id must be an integer from 0 up; got {value!r}. Was it decoded already?")
    return number


def _special(token):
    return AddedToken(token, special=True) if isinstance(token, str) else token


def _resolve(token, special):
    """A str or AddedToken -> an AddedToken with nothing left unsaid."""
    if isinstance(token, str):
        return AddedToken(token, special=special, normalized=not special)
    if not isinstance(token, AddedToken):
        raise InputTypeError(f"an added token must be a string or an AddedToken; got {token!r}.")
    special = special or token.special
    normalized = not special if token.normalized is None else token.normalized
    return AddedToken(token.content, token.single_word, token.lstrip, token.rstrip, normalized, special)
