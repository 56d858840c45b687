"""The vocabulary of a tokenizer: tokens <-> ids, the special tokens, and tokens a user adds.

    convert_tokens_to_ids("hello") -> 7592      convert_ids_to_tokens(7592) -> "hello"      mask_token_id -> 103

Added tokens get ids after those of the vocabulary, as in the reference. A token that is in the vocabulary already keeps
its id, and is never split from then on.
"""

from functools import cached_property
from typing import Any

from minibert.errors import InputError, InputTypeError, as_int, short_repr, strict_arguments

from .call_arguments import as_flag, as_list, as_python
from .fast_pipeline import ByteLevelPipeline, FastPipeline, WordPiecePipeline
from .stages.added_tokens import AddedToken, Matcher, as_token, read_token
from .stages.byte_level import ByteLevelPreTokenizer
from .stages.byte_level_bpe import ByteLevelBPE
from .stages.pre_tokenizer import BERT, PreTokenizer
from .stages.wordpiece import WordPiece

NOT_HERE = {  # attributes of transformers' tokenizers -> what there is instead
    "backend_tokenizer": ": all of it is Python. For one of the tokenizers library, tokenizer.save_pretrained(folder) and"
    " tokenizers.Tokenizer.from_file(folder + '/tokenizer.json')",
    "train_new_from_iterator": ": vocabularies are trained by the tokenizers library",
    "additional_special_tokens": ": it is extra_special_tokens, as in transformers 5",
    "additional_special_tokens_ids": ": it is extra_special_tokens_ids, as in transformers 5",
    "push_to_hub": ": save_pretrained(folder), and upload the folder with huggingface_hub",
}
PIPELINES: dict[type, type[FastPipeline]] = {WordPiece: WordPiecePipeline, ByteLevelBPE: ByteLevelPipeline}
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
LARGEST_ID = 2**32 - 1  # that ids of 32 bits can be


def vocab_of_special(special, names):
    """{token: id} of the special tokens with these names, in their order, each token once."""
    first = dict.fromkeys(str(special[name]) for name in names if special[name] is not None)
    return {token: token_id for token_id, token in enumerate(first)}


class Vocabulary:
    """The tokens of a tokenizer: those of a subword model, added tokens and special tokens."""

    _pre_tokenizer: PreTokenizer | ByteLevelPreTokenizer = BERT
    _template: Any = None  # of special tokens
    split_special_tokens = False  # whether [MASK] in a text is split like other text

    def __init__(self, normalizer, model):
        self._normalizer, self._model = normalizer, model
        self._added = {}  # id -> AddedToken
        self._written = {}  # id -> the string it decodes to, which for a normalized token is its normal form
        self._added_ids = {}  # content -> id
        self._next_id = len(model.vocab)
        self._specials, self._others = {}, {}  # contents; if two have the same normal form, the first one counts
        self._named = dict.fromkeys(NAMED)  # "mask_token" -> "[MASK]"
        self._extra_special = []

    # --- adding tokens ---

    @strict_arguments
    def add_tokens(self, new_tokens, special_tokens=False):
        """Add a token, or a list of them (str or AddedToken); returns how many were new or changed."""
        if new_tokens is None:
            return 0
        new_tokens = as_token(new_tokens)
        new_tokens = [new_tokens] if isinstance(new_tokens, (str, AddedToken)) else as_list(new_tokens, "added tokens")
        special = as_flag("special_tokens", special_tokens)
        tokens = [_resolve(token, special) for token in new_tokens]
        before = dict(self._added), dict(self._added_ids), dict(self._specials), dict(self._others), self._next_id
        changed = [token for token in tokens if self._add(token)]
        try:
            self._pipeline = self._make_pipeline(self.split_special_tokens)
        except InputError:
            self._added, self._added_ids, self._specials, self._others, self._next_id = before
            raise
        self.__dict__.pop("_other_pipeline", None)
        return len(changed)

    @strict_arguments
    def add_special_tokens(self, special_tokens_dict, replace_extra_special_tokens=True):
        """Name special tokens, {"mask_token": "<mask>", "extra_special_tokens": [...]}, and add them."""
        replaces = as_flag("replace_extra_special_tokens", replace_extra_special_tokens)
        named = self._read_special_tokens({} if special_tokens_dict is None else special_tokens_dict)
        extra = named.get("extra_special_tokens", [])
        previous = [] if extra and replaces else self._extra_special
        extra = named["extra_special_tokens"] = [token for token in extra if str(token) not in previous]
        tokens = [token for name in named for token in (extra if name == "extra_special_tokens" else [named[name]])]
        changed = self.add_tokens([_special(token) for token in tokens], special_tokens=True)
        self._extra_special = [*previous, *dict.fromkeys(map(str, named.pop("extra_special_tokens")))]
        self._named.update({name: str(token) for name, token in named.items()})
        return changed

    def _read_special_tokens(self, special_tokens):
        """A caller's dictionary, checked; additional_special_tokens is renamed to extra_special_tokens."""
        if not hasattr(special_tokens, "keys") or isinstance(special_tokens, type):
            raise InputTypeError(f"special tokens must be a dictionary of names and tokens; got {short_repr(special_tokens)}.")
        named = dict(special_tokens)
        if "additional_special_tokens" in named:
            named.setdefault("extra_special_tokens", named.pop("additional_special_tokens"))
        unknown = [name for name in named if name not in (*self._named, "extra_special_tokens")]
        if unknown:
            known = ", ".join(self._named)
            raise InputError(f"special tokens are named {known} or extra_special_tokens; got {short_repr(unknown)}.")
        if "extra_special_tokens" in named:
            extra = named["extra_special_tokens"]
            named["extra_special_tokens"] = [] if extra is None else as_list(extra, "extra_special_tokens")
        for name, value in named.items():
            is_list = name == "extra_special_tokens"
            named[name] = [read_token(name, token) for token in value] if is_list else read_token(name, value)
        return named

    def _add(self, token):
        if not token.content:
            return False
        if token.special:
            self._specials.setdefault(token.content)
        if token == self._added.get(self._added_ids.get(token.content)):
            return False
        token_id = self._token_id(token.content)
        if token_id is None:
            token_id = self._next_id
        self._next_id = max(self._next_id, token_id + 1)
        self._added_ids[token.content] = token_id
        self._added[token_id] = token
        if token.content not in self._specials:
            self._others.setdefault(token.content)
        return True

    def _make_pipeline(self, splits_special_tokens):
        targets: dict[bool, dict] = {False: {}, True: {}}
        for content in (*self._specials, *self._others):
            token_id = self._token_id(content)
            token = self._added[token_id]
            targets[token.normalized].setdefault(self._written_form(token), (token_id, token))
        raw_matcher, normalized_matcher = (Matcher(targets[normalized], splits_special_tokens) for normalized in (False, True))
        self._written = {token_id: self._written_form(token) for token_id, token in self._added.items()}
        trimmer = self._template.trimmer if self._template else None
        pipeline = PIPELINES[type(self._model)]
        return pipeline(self._normalizer, self._model, raw_matcher, normalized_matcher, self._pre_tokenizer, trimmer)

    def _written_form(self, token):
        """The string that an added token decodes to: the one it is matched by."""
        return self._normalizer.normalize(token.content)[0] if token.normalized else token.content

    @cached_property
    def _pipeline(self):
        return self._make_pipeline(self.split_special_tokens)

    @cached_property
    def _other_pipeline(self):
        """Of calls with the other value of split_special_tokens."""
        return self._make_pipeline(not self.split_special_tokens)

    # --- tokens and ids ---

    def _token_id(self, token):
        token_id = self._added_ids.get(token)
        return self._model.vocab.get(token) if token_id is None else token_id

    def _token(self, token_id):
        token = self._written.get(token_id)
        return self._model.tokens.get(token_id) if token is None else token

    @strict_arguments
    def convert_tokens_to_ids(self, tokens):
        """A token or a list of them -> its id; for an unknown token, the id of unk_token, or None if there is none."""
        if isinstance(tokens, str):
            token_id = self._token_id(tokens)
            return self._token_id(self.unk_token) if token_id is None else token_id
        tokens = as_list(tokens, "tokens")
        if not all(isinstance(token, str) for token in tokens):
            raise InputTypeError(f"a token must be a string; got {short_repr(tokens)}.")
        return [self.convert_tokens_to_ids(token) for token in tokens]

    @strict_arguments
    def convert_ids_to_tokens(self, ids, skip_special_tokens=False):
        """An id or a list of them -> its token; None for an id that is not in the vocabulary."""
        skips = skip_special_tokens is not None and as_flag("skip_special_tokens", skip_special_tokens)
        ids = as_python(ids, "token ids")
        if isinstance(ids, str) or not hasattr(ids, "__iter__"):
            return self._token(as_id(ids))
        token_ids = list(map(as_id, as_list(ids, "token ids")))
        skipped = set(self.all_special_ids) if skips else ()
        return [self._token(token_id) for token_id in token_ids if token_id not in skipped]

    def get_vocab(self):
        """{token: id}, with the added tokens."""
        return {**self._model.vocab, **self._added_ids}

    vocab = property(get_vocab)

    def get_added_vocab(self):
        """{added token: id}."""
        return {token.content: token_id for token_id, token in sorted(self._added.items())}

    @property
    def added_tokens_decoder(self):
        """{id: AddedToken}."""
        return dict(sorted(self._added.items()))

    @property
    def added_tokens_encoder(self):
        return self.get_added_vocab()

    @property
    def vocab_size(self):
        """The number of tokens, without the added ones; len(tokenizer) counts these too."""
        return len(self._model.vocab)

    def __len__(self):
        return len({*self._model.vocab, *self._added_ids})

    def __bool__(self):
        return True

    # --- special tokens ---

    pad_token_type_id = 0

    @property
    def special_tokens_map(self):
        return {name: token for name, token in self._named.items() if token is not None}

    @property
    def extra_special_tokens(self):
        return list(self._extra_special)

    @extra_special_tokens.setter
    def extra_special_tokens(self, tokens):
        tokens = [] if tokens is None else as_list(tokens, "extra_special_tokens")
        self._extra_special = [str(read_token("extra_special_tokens", token)) for token in tokens]

    @property
    def extra_special_tokens_ids(self):
        return self.convert_tokens_to_ids(self._extra_special)

    def __getattr__(self, name):
        """Special tokens with custom names: extra_special_tokens={"image": "<x>"} gives `image` and `image_id`."""
        named = self.__dict__.get("_named", {})
        if name not in named and name.removesuffix("_id") not in named:
            raise AttributeError(f"a {type(self).__name__} has no {name!r}{NOT_HERE.get(name, '')}")
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
        self._named[name] = None if token is None else str(read_token(name, token))

    def token_id(self):
        return None if self._named[name] is None else self.convert_tokens_to_ids(self._named[name])

    def set_token_id(self, token_id):
        set_token(self, None if token_id is None else self.convert_ids_to_tokens(token_id))

    setattr(Vocabulary, name, property(token, set_token))
    setattr(Vocabulary, f"{name}_id", property(token_id, set_token_id))


for _name in NAMED:
    _named_properties(_name)


def as_id(value):
    """An id as an int. NumPy integers are accepted; bools, floats, negative integers and those of more than 32 bits are not."""
    token_id = value if type(value) is int else as_int(value)
    if token_id is None or not 0 <= token_id <= LARGEST_ID:
        rule = f"a token id must be an integer from 0 up to {LARGEST_ID}"
        raise InputTypeError(f"{rule}; got {short_repr(value)}. Was it decoded already?")
    return token_id


def is_named_token(name, token):
    """Whether an option is a special token with a custom name: image_token="<image>"."""
    return name.endswith("_token") and name not in NAMED and isinstance(as_token(token), (str, AddedToken))


def _special(token):
    return AddedToken(token, special=True) if isinstance(token, str) else token


def _resolve(token, special):
    """A str or AddedToken -> an AddedToken with every field set."""
    token = read_token("an added token", token)
    if isinstance(token, str):
        return AddedToken(token, special=special, normalized=not special)
    special = special or token.special
    normalized = not special if token.normalized is None else token.normalized
    return AddedToken(token.content, token.single_word, token.lstrip, token.rstrip, normalized, special)
