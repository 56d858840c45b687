"""The vocabulary of a tokenizer: tokens <-> ids, the special tokens, and tokens a user adds.

    convert_tokens_to_ids("hello") -> 7592      convert_ids_to_tokens(7592) -> "hello"      mask_token_id -> 103

Added tokens get ids after the vocabulary's own, as the reference gives them; a token that is in the vocabulary
already keeps its id, and is from then on matched whole.
"""

from functools import cached_property

from minibert.errors import InputError, InputTypeError, brief

from .added_tokens import AddedToken, Matcher
from .arguments import as_flag, as_int, as_list, plain, refuse_unknown
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

    def add_tokens(self, new_tokens, special_tokens=False, **unknown):
        """Add a token, or a list of them (str or AddedToken); returns how many were new or changed."""
        refuse_unknown("add_tokens", unknown, ("new_tokens", "special_tokens"))
        if new_tokens is None:
            return 0
        new_tokens = [new_tokens] if isinstance(new_tokens, (str, AddedToken)) else as_list(new_tokens, "added tokens")
        special = as_flag("special_tokens", special_tokens)
        tokens = [_resolve(token, special) for token in new_tokens]
        before = dict(self._added), dict(self._added_ids), dict(self._specials), dict(self._others), self._next_id
        changed = [token for token in tokens if self._add(token)]
        try:
            self._pipeline = self._make_pipeline()
        except InputError:
            self._added, self._added_ids, self._specials, self._others, self._next_id = before
            raise
        return len(changed)

    def add_special_tokens(self, special_tokens_dict, replace_extra_special_tokens=True, **unknown):
        """Name special tokens, {"mask_token": "<mask>", "extra_special_tokens": [...]}, and add them."""
        refuse_unknown("add_special_tokens", unknown, ("special_tokens_dict", "replace_extra_special_tokens"))
        replaces = as_flag("replace_extra_special_tokens", replace_extra_special_tokens)
        named = self._read_special_tokens({} if special_tokens_dict is None else special_tokens_dict)
        extra = named.get("extra_special_tokens", [])
        kept = [] if extra and replaces else self._extra_special
        extra = named["extra_special_tokens"] = [token for token in extra if str(token) not in kept]
        tokens = [token for name in named for token in (extra if name == "extra_special_tokens" else [named[name]])]
        changed = self.add_tokens([_special(token) for token in tokens], special_tokens=True)
        self._extra_special = [*kept, *dict.fromkeys(map(str, named.pop("extra_special_tokens")))]
        self._named.update({name: str(token) for name, token in named.items()})
        return changed

    def _read_special_tokens(self, special_tokens):
        """A caller's dictionary, checked, under the names of today: the extra ones are a list."""
        if not hasattr(special_tokens, "keys") or isinstance(special_tokens, type):
            raise InputTypeError(f"special tokens must be a dictionary of names and tokens; got {brief(special_tokens)}.")
        named = dict(special_tokens)
        if "additional_special_tokens" in named:
            named.setdefault("extra_special_tokens", named.pop("additional_special_tokens"))
        unknown = [name for name in named if name not in (*self._named, "extra_special_tokens")]
        if unknown:
            known = ", ".join(self._named)
            raise InputError(f"special tokens are named {known} or extra_special_tokens; got {brief(unknown)}.")
        if "extra_special_tokens" in named:
            extra = named["extra_special_tokens"]
            named["extra_special_tokens"] = [] if extra is None else as_list(extra, "extra_special_tokens")
        for name, value in named.items():
            for token in value if name == "extra_special_tokens" else [value]:
                check_token(name, token)
        return named

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

    def convert_tokens_to_ids(self, tokens, **unknown):
        """A token or a list of them -> its id; an unknown one gets the id of unk_token."""
        if unknown:
            refuse_unknown("convert_tokens_to_ids", unknown, ("tokens",))
        if isinstance(tokens, str):
            number = self._token_id(tokens)
            return self._token_id(self.unk_token) if number is None else number  # None where that is unknown as well
        tokens = as_list(tokens, "tokens")
        if not all(isinstance(token, str) for token in tokens):
            raise InputTypeError(f"a token must be a string; got {brief(tokens)}.")
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def convert_ids_to_tokens(self, ids, skip_special_tokens=False, **unknown):
        """An id or a list of them -> its token; None for an id that is not in the vocabulary."""
        if unknown:
            refuse_unknown("convert_ids_to_tokens", unknown, ("ids", "skip_special_tokens"))
        skips = as_flag("skip_special_tokens", skip_special_tokens)
        ids = plain(ids, "token ids")
        if isinstance(ids, str) or not hasattr(ids, "__iter__"):
            return self._token(as_id(ids))
        numbers = list(map(as_id, as_list(ids, "token ids")))
        skipped = set(self.all_special_ids) if skips else ()
        return [self._token(number) for number in numbers if number not in skipped]

    def get_vocab(self, **unknown):
        """{token: id}, added tokens too."""
        refuse_unknown("get_vocab", unknown)
        return {**self._model.vocab, **self._added_ids}

    vocab = property(get_vocab)

    def get_added_vocab(self, **unknown):
        refuse_unknown("get_added_vocab", unknown)
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

    @extra_special_tokens.setter
    def extra_special_tokens(self, tokens):
        tokens = [] if tokens is None else as_list(tokens, "extra_special_tokens")
        for token in tokens:
            check_token("extra_special_tokens", token)
        self._extra_special = [str(token) for token in tokens]

    @property
    def extra_special_tokens_ids(self):
        return self.convert_tokens_to_ids(self._extra_special)

    def __getattr__(self, name):
        """Special tokens with names of their own, extra_special_tokens={"image": "<x>"}: `image` and `image_id`."""
        named = self.__dict__.get("_named", {})
        if name not in named and name.removesuffix("_id") not in named:
            raise AttributeError(f"a {type(self).__name__} has no {name!r}")
        if name in named:
            return named[name]
        token = named[name.removesuffix("_id")]
        return None if token is None else self.convert_tokens_to_ids(token)

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
        if token is not None:
            check_token(name, token)
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
    number = value if type(value) is int else as_int(value)
    if number is None or number < 0:
        raise InputTypeError(f"a token id must be an integer from 0 up; got {brief(value)}. Was it decoded already?")
    return number


def check_token(name, token):
    if not isinstance(token, (str, AddedToken)):
        raise InputTypeError(f"{name} must be a string or an AddedToken; got {brief(token)}.")


def _special(token):
    return AddedToken(token, special=True) if isinstance(token, str) else token


def _resolve(token, special):
    """A str or AddedToken -> an AddedToken with nothing left unsaid."""
    check_token("an added token", token)
    if isinstance(token, str):
        return AddedToken(token, special=special, normalized=not special)
    special = special or token.special
    normalized = not special if token.normalized is None else token.normalized
    return AddedToken(token.content, token.single_word, token.lstrip, token.rstrip, normalized, special)
