"""Ways to damage a file: `mutate(random, filename, content)` -> (what was done, the damaged content).

Any file is bytes, which can be flipped, cut and put in. Of a JSON file, a safetensors file, a file of torch.save and a
vocab.txt the structure is known, and damage that keeps it goes deeper into the reader: a size that is negative, a list where an object was, a key
that is there twice. All chance comes from `random`, so that a seed brings a mutation back.
"""

import io
import json
import pickletools
import struct
import warnings
import zipfile
import zlib
from typing import Any, NamedTuple

import numpy as np
from torch_files import zip_bytes

OUTSIDE = "../outside/secret"  # a file beside the model's folder, which nothing may open


class Raw(NamedTuple):
    """A piece of JSON as text, for what `json.dumps` would not write."""

    text: str


BROKEN = (
    ArithmeticError,
    ValueError,
    RuntimeError,
    LookupError,
    EOFError,
    OSError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)

# fmt: off
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 7, 1.5, -0.5, 1e-300, 1e300, 2**31 - 1, 2**31, 2**53, 2**63, 2**64, 10**30, -(2**63),
    "", " ", "a", "0", "-1", "bert", "distilbert", "gelu_new", "float16", "[UNK]", "[PAD]", "##", "\ud800", "\0", "é\u0301",
    "left", "x" * 100_000, f"{OUTSIDE}.json", f"{OUTSIDE}.safetensors", "/etc/hostname", "..", "BertTokenizer",
    "PreTrainedTokenizerFast", [], {}, [[]], [None], [0] * 1000, ["a", "a"], {"a": 1}, {"0": "a", "1": "b"}, {"type": "x"},
    {"content": "[MASK]", "lstrip": True}, {"content": ""}, {"id": 5, "content": "movie", "special": True},
]
RAWS = [
    "NaN", "Infinity", "-Infinity", "1e999", "-0.0", "1.0", "9" * 5000, "1e-999", '"\\ud83d"', "[" * 100_000 + "]" * 100_000,
    '{"a":' * 100_000 + "0" + "}" * 100_000, "[" * 500 + "]" * 500, '{"a": 1, "a": 2}',
]
NUMBERS = [lambda n: n + 1, lambda n: n - 1, lambda n: n * 2, lambda n: -n, lambda n: n * 1000, float, str, bool,
           lambda n: n + 0.5, lambda n: n << 40]
# fmt: on


def mutate(random, filename: str, content: bytes) -> tuple[str, bytes]:
    """One or a few damages to a file."""
    done = []
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        known = BY_SUFFIX[filename.rpartition(".")[2]]
        change = known if random.random() < 0.75 else mutate_bytes
        try:
            what, content = change(random, content)
        except BROKEN:  # its structure is gone already
            what, content = mutate_bytes(random, content)
        done.append(what)
    return f"{filename}: {'; '.join(done)}", content


def mutate_bytes(random, content: bytes) -> tuple[str, bytes]:
    """Bits flipped, bytes put in, taken out, doubled or overwritten; the end cut off."""
    start = random.randrange(len(content) + 1)
    stop = min(len(content), start + random.choice((1, 2, 8, 64, 1000)))
    change = random.choice(
        ("flip", "insert", "remove", "double", "zero", "fill", "cut", "empty" if random.random() < 0.1 else "cut")
    )
    if change == "flip" and content:
        flipped = bytearray(content)
        for _ in range(random.choice((1, 1, 3, 20))):
            flipped[random.randrange(len(content))] ^= 1 << random.randrange(8)
        return "flip", bytes(flipped)
    piece = {
        "insert": bytes(random.randrange(256) for _ in range(stop - start)) + content[start:stop],
        "flip": b"{",
        "remove": b"",
        "double": content[start:stop] * 2,
        "zero": bytes(stop - start),
        "fill": b"\xff" * (stop - start),
    }
    if change in piece:
        return f"{change} {start}-{stop}", content[:start] + piece[change] + content[stop:]
    return change, b"" if change == "empty" else content[:start]


# --- JSON ------------------------------------------------------------------------------------------------------------


def dump(value: Any) -> str:
    """As `json.dumps`, with Raw pieces in it."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {dump(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dump, value)) + "]"
    return json.dumps(value)


def mutate_json(random, content: bytes) -> tuple[str, bytes]:
    what, document = mutate_value(random, json.loads(content))
    return what, dump(document).encode()


def mutate_value(random, document: Any) -> tuple[str, Any]:
    """A parsed document, changed at one place; now and then it is replaced whole."""
    if not isinstance(document, (dict, list)) or not document or random.random() < 0.03:
        return "replace all", random_value(random)
    path, parent, key = pick(random, document)
    change = random.choice(
        ("replace", "replace", "replace", "number", "delete", "rename", "twice", "swap", "wrap", "repeat", "add")
    )
    old = parent[key]
    if change == "number" and isinstance(old, (int, float)) and old == old:
        parent[key] = random.choice(NUMBERS)(int(old))
    elif change == "delete":
        del parent[key]
    elif change == "rename" and isinstance(parent, dict):
        parent[random_key(random, document)] = parent.pop(key)
    elif change == "twice" and isinstance(parent, dict):
        again = f"{json.dumps(key)}: {dump(random_value(random))}"
        parent[key] = Raw(random.choice((f"{dump(old)}, {again}", f"0, {json.dumps(key)}: {dump(old)}")))
    elif change == "swap":
        _, other, other_key = pick(random, document)
        parent[key], other[other_key] = other[other_key], json.loads(dump(old))
    elif change == "wrap":
        parent[key] = random.choice(([old], {"a": old}, {str(old)[:20]: old}, str(old)[:100]))
    elif change == "repeat" and isinstance(old, list):
        parent[key] = old * random.choice((2, 1000))
    elif change == "add" and isinstance(parent, dict):
        parent[random_key(random, document)] = json.loads(dump(old))
    else:
        change, parent[key] = "replace", random_value(random)
    shown = dump(parent[key])[:60] if isinstance(parent, dict) and key in parent else ""
    return f"{change} {'.'.join(map(str, path))[:80]} {shown}", document


def random_value(random) -> Any:
    return random.choice(VALUES) if random.random() < 0.8 else Raw(random.choice(RAWS))


def random_key(random, document: Any) -> str:
    """A name that is used elsewhere in the document, or an odd one."""
    _, parent, key = pick(random, document)
    return key if isinstance(key, str) and random.random() < 0.7 else random.choice(("", "a", "0", "-1", "\ud800", "type"))


def pick(random, document: Any) -> tuple[list, Any, Any]:
    """A place in a document: the way to it, what it is in, and its key there. Each level has an equal chance."""
    parent, path = document, []
    while True:
        key = random.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
        path.append(key)
        below = parent[key]
        if not isinstance(below, (dict, list)) or not below or random.random() < 0.3:
            return path, parent, key
        parent = below


# --- safetensors and vocab.txt ---------------------------------------------------------------------------------------


def mutate_safetensors(random, content: bytes) -> tuple[str, bytes]:
    """The header's JSON changed, or its length, or the numbers."""
    length = struct.unpack("<Q", content[:8])[0]
    header, data = content[8 : 8 + length], content[8 + length :]
    change = random.choice(("header", "header", "header", "length", "numbers"))
    if change == "numbers":
        numbers = np.frombuffer(data[: len(data) // 4 * 4], "<f4").copy()
        value = random.choice((np.nan, np.inf, -np.inf, 3e38, 1e-45, 0.0))
        numbers[random.randrange(len(numbers)) :: random.choice((1, 7, 1000))] = value
        return f"numbers {value}", content[: 8 + length] + numbers.tobytes()
    if change == "length":
        length = random.choice((0, 1, length - 1, length + 1, length + 8, 2**20, 2**20 + 1, 2**31, 2**63, 2**64 - 1)) % 2**64
        return f"length {length}", struct.pack("<Q", length) + content[8:]
    what, document = mutate_value(random, json.loads(header))
    header = dump(document).encode()
    return f"header {what}", struct.pack("<Q", len(header)) + header + data


# fmt: off
PIECES = [  # of pickles
    b"cos\nsystem\n", b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n", b"(X\x04\0\0\0trueios\nsystem\n", b"R", b"b", b"Q", b"o",
    b"\x81", b"\x82\x01", b"(", b"t", b")", b"}", b"]", b"a", b"u", b"s", b"e", b"N", b"\x88", b".", b"h\x00", b"h\xff", b"q\x00",
    b"r\xff\xff\xff\xff", b"\x94", b"K\x00", b"J\xff\xff\xff\xff", b"J\xff\xff\xff\x7f", b"\x8a\x09" + b"\xff" * 8 + b"\0",
    b"X\xff\xff\xff\xff", b"X\x01\0\0\0x", b"X\x01\0\0\0\xff", b"\x85" * 50_000, b"]" * 50_000, b"(" * 300_000, b"\x80\x06",
    b"\x95" + bytes(8), b"X\0\0\x01\0" + b"x" * 65_536,
]
# fmt: on


def mutate_torch(random, content: bytes) -> tuple[str, bytes]:
    """A file of torch.save's: an opcode of a pickle changed, or the entries of the zip file."""
    if not content.startswith(b"PK"):
        starts = [0]
        for _ in range(4):
            starts.append(starts[-1] + last_opcode(content[starts[-1] :]))
        start = random.choice(starts)
        what, program = mutate_pickle(random, content[start : start + last_opcode(content[start:])])
        return f"pickle at {start}: {what}", content[:start] + program + content[start + last_opcode(content[start:]) :]
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    name = random.choice(list(entries))
    pickle = next((name for name in entries if name.endswith("data.pkl")), name)
    change = random.choice(("pickle", "pickle", "pickle", "pickle", "delete", "rename", "content", "compress"))
    if change == "pickle":
        change, entries[pickle] = mutate_pickle(random, entries[pickle])
    elif change == "delete":
        del entries[name]
    elif change == "rename":
        renamed = random.choice((*entries, f"{OUTSIDE}.bin", "archive/constants.pkl", "a/data.pkl", "", "/", "x" * 1000))
        entries[renamed] = entries.pop(name)
    elif change == "content":
        entries[name] = mutate_bytes(random, entries[name])[1]
    return f"{change} {name:.60}", zip_bytes(entries, compressed=entries if change == "compress" else ())


def opcode_starts(program: bytes) -> list[int]:
    """Where the opcodes of the pickle at the beginning of these bytes are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the escapes in text that is none
        return [position for _, _, position in pickletools.genops(program)]


def last_opcode(program: bytes) -> int:
    """Where the pickle at the beginning of these bytes ends."""
    return opcode_starts(program)[-1] + 1


def mutate_pickle(random, program: bytes) -> tuple[str, bytes]:
    """One opcode taken out, doubled, exchanged with another, or others put before it or in its place."""
    starts = opcode_starts(program)
    opcodes = [program[start:stop] for start, stop in zip(starts, [*starts[1:], len(program)])]
    at, other = random.randrange(len(opcodes)), random.randrange(len(opcodes))
    change = random.choice(("delete", "double", "swap", "insert", "replace", "replace"))
    piece = random.choice((random.choice(PIECES), opcodes[other]))
    if change == "swap":
        opcodes[at], opcodes[other] = opcodes[other], opcodes[at]
    else:
        there = {"delete": b"", "double": opcodes[at] * 2, "insert": piece + opcodes[at], "replace": piece}
        opcodes[at] = there[change]
    return f"{change} opcode {at} {piece[:20]!r}", b"".join(opcodes)


def mutate_lines(random, content: bytes) -> tuple[str, bytes]:
    """Lines taken out, doubled, exchanged, put in."""
    lines = content.split(b"\n")
    at, other = random.randrange(len(lines)), random.randrange(len(lines))
    change = random.choice(("delete", "double", "swap", "insert", "windows", "many"))
    if change == "delete":
        del lines[at]
    elif change == "double":
        lines[at] = lines[other]
    elif change == "swap":
        lines[at], lines[other] = lines[other], lines[at]
    elif change == "insert":
        odd = (
            b"",
            b" ",
            b"##",
            b"\xef\xbb\xbf",
            b"\xff",
            b"\0",
            b"\xed\xa0\x80",
            b"x" * 100_000,
            b"\r",
            b"a b",
            "\u2028".encode(),
        )
        lines.insert(at, random.choice(odd))
    elif change == "many":
        lines[at:at] = [b"x%d" % index for index in range(random.choice((1, 100, 50_000)))]
    return f"{change} {at}", (b"\r\n" if change == "windows" else b"\n").join(lines)


BY_SUFFIX = {"json": mutate_json, "safetensors": mutate_safetensors, "bin": mutate_torch, "txt": mutate_lines}
