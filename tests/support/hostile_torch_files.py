"""Files named pytorch_model.bin that must be one WeightsError each: {what: (the file, a pattern of the message)}.

PROGRAMS are pickles, and are tried in both forms of torch.save's files; the rest are damages to a form. Tried by
tests/models/test_torch_file.py, and by tests/support/faults.py as files of a whole checkpoint.
"""

import struct

from torch_files import (
    call,
    dictionary,
    find_global,
    integer,
    items,
    legacy_form,
    pickled,
    storage,
    tensor,
    text,
    zip_bytes,
    zip_form,
)

DATA = bytes(range(16))
NAMED = "names tensors, storages, types and OrderedDict only, and nothing else is ever called; its pickle names "
LARGE = 2**62

# --- Pickles ---------------------------------------------------------------------------------------------------------


def state(**tensors):
    return pickled(dictionary(**tensors))


def rebuilt(shape, strides):
    """A state dict of one tensor, of which the program gives shape and strides."""
    return state(x=call("torch._utils", "_rebuild_tensor_v2", storage("0", 4), integer(0), shape, strides))


def of_name(module, name):
    """A state dict in which a function is named and called."""
    return state(x=call(module, name, text("touch executed")))


GLOBALS = [
    ("os", "system"),
    ("posix", "system"),
    ("builtins", "eval"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("__builtin__", "apply"),
    ("subprocess", "Popen"),
    ("importlib", "import_module"),
    ("pickle", "loads"),
    ("collections", "defaultdict"),
    ("collections", "OrderedDict.__class__"),
    ("torch", "load"),
    ("torch._utils", "_rebuild_qtensor"),
    ("torch._utils", "_rebuild_tensor_v2.__globals__"),
    ("minibert.pickle_reader", "Machine"),
    ("numpy.core.multiarray", "scalar"),
    ("", ""),
]
OPCODES = {
    "OBJ": b"(" + find_global("collections", "OrderedDict") + b"o",
    "NEWOBJ": find_global("collections", "OrderedDict") + b")\x81",
    "NEWOBJ_EX": find_global("collections", "OrderedDict") + b")}\x92",
    "EXT1": b"\x82\x01",
    "EXT2": b"\x83\x01\x00",
    "EXT4": b"\x84\x01\x00\x00\x00",
    "PERSID": b"Pstorage\n",
    "NEXT_BUFFER": b"\x97",
    "READONLY_BUFFER": b"N\x98",
}
LAUGHS = b"]"
for index in range(100):
    LAUGHS = b"](" + LAUGHS + b"q%ch%ce" % (index, index)
COPIES = b"](" + b"".join(items(integer(index), b"N") for index in range(20_000)) + b"eq\x00"
ELSEWHERE = "a tensor of shape .* is larger than its storage of 4 elements"
NOT_WHOLE = "a tensor's offset, shape and strides are whole numbers"

PROGRAMS = {
    **{f"{module}.{name}": (of_name(module, name), NAMED + f"{module}.{name}") for module, name in GLOBALS},
    "a name by STACK_GLOBAL": (state(x=text("os") + text("system") + b"\x93"), NAMED + "os.system"),
    "a name by INST": (state(x=b"(" + text("true") + b"ios\nsystem\n"), NAMED + "os.system"),
    "a name of 900 letters": (state(x=find_global("x" * 900, "y")), NAMED + "x{200}\\.\\.\\."),
    "a name without an end": (b"\x80\x02c" + b"x" * 5000, "a line without an end"),
    "a name that is no text": (state(x=b"NN\x93"), "names a global by what is no text"),
    "a name with control characters": (state(x=find_global("\x1b[2J", "\x07")), r"names \\x1b\[2J.\\x07"),
    **{opcode: (state(x=program), f"the opcode {opcode}, which") for opcode, program in OPCODES.items()},
    "an opcode that is none": (state(x=b"\xff"), r"the opcode b'\\xff'"),
    "protocol 6": (b"\x80\x06N.", "of protocol 6"),
    # calls
    "a call of a type": (state(x=call("torch", "FloatStorage", integer(5))), "its pickle calls torch.FloatStorage"),
    "a call of a dict": (state(x=b"})R"), "its pickle calls a dict"),
    "a call with a list": (state(x=find_global("collections", "OrderedDict") + b"]R"), "calls collections.OrderedDict"),
    "a call of what a call gave": (state(x=call("collections", "OrderedDict") + b")R"), "its pickle calls a dict"),
    "an OrderedDict of numbers": (state(x=call("collections", "OrderedDict", integer(5))), "what are no pairs"),
    "an OrderedDict of lists of one": (state(x=call("collections", "OrderedDict", b"](]e")), "what are no pairs"),
    "attributes of a tensor": (state(x=tensor() + b"}b"), "adds to a Tensor as if it were a dict"),
    "attributes that are a list": (pickled(dictionary() + b"]b"), "sets attributes by what is no dict"),
    "a tensor without a storage": (state(x=call("torch._utils", "_rebuild_tensor_v2", b"N")), "a tensor has no storage"),
    "a tensor of nothing": (state(x=call("torch._utils", "_rebuild_tensor_v2")), "a tensor has no storage"),
    "a parameter of nothing": (state(x=call("torch._utils", "_rebuild_parameter", b"N")), "a parameter is made of"),
    "a size of nothing": (state(x=call("torch", "Size")), "a size is made of"),
    "a negated view": (state(x=tensor(more=[b"}(" + text("neg") + b"\x88u"])), "a conjugated or negated view"),
    # the stack and the memo
    "an empty stack": (b"\x80\x02.", "takes from an empty stack"),
    "a stack that a mark guards": (b"\x80\x02}(s.", "takes from an empty stack"),
    "no mark": (b"\x80\x02}u.", "no MARK"),
    "a key without a value": (b"\x80\x02}(Nu.", "a key without a value"),
    "an object that is not in the memo": (b"\x80\x02h\x05.", "refers to object 5, which is not there"),
    "an object far away in the memo": (pickled(b"Nr\xff\xff\xff\xff"), "this is a NoneType"),
    "an append to a tuple": (pickled(b")Na"), "adds to a tuple as if it were a list"),
    "a list in itself": (state(x=b"]q\x00h\x00a"), "'x' is a list"),
    "a dict in itself": (pickled(b"}q\x00" + text("a") + b"h\x00s"), "'a' is a dict"),
    "an unhashable key": (pickled(b"}]Ns"), "a list for a name"),
    "a key of tuples nested deep": (pickled(b"})" + b"\x85" * 200_000 + b"Ns"), "a tuple for a name"),
    "a hundred lists that hold the last one twice": (state(x=LAUGHS), "'x' is a list"),
    "such lists for a shape": (rebuilt(items(LAUGHS), items(LAUGHS)), NOT_WHOLE),
    "such lists for a storage": (state(x=items(LAUGHS, LAUGHS) + b"Q"), "is no storage"),
    "such lists for a key": (
        state(x=items(text("storage"), find_global("torch", "FloatStorage"), LAUGHS, LAUGHS, LAUGHS) + b"Q"),
        "the key a list",
    ),
    # sizes
    "lists nested deep": (pickled(b"]" * 100_000 + b"a" * 99_999), "this is a list"),
    "more steps than may be": (pickled(b"N" * 300_000), "may take 262144 steps"),
    "lists without end": (b"\x80\x04" + b"]\x94" * 500_000, "may take 262144 steps"),
    "marks without end": (b"\x80\x02" + b"(" * 500_000, "may take 262144 steps"),
    "a list that is copied again and again": (
        pickled(COPIES + (find_global("collections", "OrderedDict") + b"h\x00\x85R") * 1000),
        "may take 262144 steps",
    ),
    "2 MB of text": (pickled(text("x" * (2 << 20))), "1048576 bytes"),
    "text that would have 4 GB": (b"\x80\x02X\xff\xff\xff\xffx.", "ends in the middle|1048576 bytes"),
    "text that would have 2**63 bytes": (b"\x80\x04\x8d" + b"\xff" * 8 + b"x.", "ends in the middle|1048576 bytes"),
    "text that is not UTF-8": (pickled(b"X\x01\x00\x00\x00\xff"), "not UTF-8"),
    # what is no state dict
    "a list": (pickled(b"]"), "maps names to tensors; this is a list"),
    "a number for a name": (pickled(b"}" + integer(5) + tensor() + b"s"), "5 is a Tensor"),
    "a number for a tensor": (state(epoch=integer(5)), "'epoch' is a int"),
    "a state dict within": (state(state_dict=dictionary(x=tensor())), "'state_dict' is a dict"),
    "a name twice": (pickled(b"}(" + text("x") + tensor() + text("x") + tensor() + b"u"), "has 'x' twice"),
    "a name twice, of pairs": (
        pickled(call("collections", "OrderedDict", b"](" + items(text("x"), b"N") + items(text("x"), b"N") + b"e")),
        "has 'x' twice",
    ),
    # storages and tensors
    "a storage of a type that is none": (state(x=tensor(storage_type="float32")), "a storage is of torch.float32"),
    "a quantized storage": (state(x=tensor(storage_type="QInt8Storage")), NAMED + "torch.QInt8Storage"),
    "a storage of -1 elements": (state(x=tensor(length=-1)), "has -1 elements"),
    "a storage of 2**62 elements": (state(x=tensor(length=LARGE)), "has 4611686018427387904 elements"),
    "a storage of two types": (state(x=tensor(), y=tensor(storage_type="IntStorage")), "has two types or lengths"),
    "a storage of two lengths": (state(x=tensor(), y=tensor(length=3, shape=(3,))), "has two types or lengths"),
    "a part of a storage": (
        state(
            x=items(
                text("storage"), find_global("torch", "FloatStorage"), text("0"), text("cpu"), integer(4), items(integer(1))
            )
            + b"Q"
        ),
        "is no storage",
    ),
    "a module": (state(x=items(text("module"), b"N", b"N", b"N") + b"Q"), "is no storage"),
    "a shape past the end": (state(x=tensor(shape=(5,))), ELSEWHERE),
    "a shape whose size overflows": (state(x=tensor(shape=(2**33, 2**33), strides=(2**33, 1))), ELSEWHERE),
    "strides past the end": (state(x=tensor(shape=(2, 2), strides=(3, 1))), ELSEWHERE),
    "an offset past the end": (state(x=tensor(offset=1)), ELSEWHERE),
    "an offset past the end of nothing": (state(x=tensor(shape=(0,), offset=5)), ELSEWHERE),
    "one element that is a million": (state(x=tensor(shape=(1000, 1000), strides=(0, 0))), ELSEWHERE),
    "a negative shape": (state(x=tensor(shape=(-4,))), NOT_WHOLE),
    "a negative stride": (state(x=tensor(strides=(-1,), offset=3)), NOT_WHOLE),
    "a negative offset": (state(x=tensor(offset=-1)), NOT_WHOLE),
    "a shape of 2**62": (state(x=tensor(shape=(LARGE,))), NOT_WHOLE),
    "a shape of 255 bytes": (rebuilt(items(b"\x8a\xff" + b"\x7f" * 255), items(b"K\x01")), NOT_WHOLE),
    "a shape of True": (rebuilt(items(b"\x88"), items(b"K\x01")), NOT_WHOLE),
    "a shape of fractions": (rebuilt(items(b"G" + struct.pack(">d", 4)), items(b"K\x01")), NOT_WHOLE),
    "a shape that is a list": (rebuilt(b"]", items()), "shape and strides are two tuples"),
    "a hundred axes": (state(x=tensor(shape=(1,) * 100, strides=(1,) * 100)), "shape and strides are two tuples of 32"),
    "fewer strides than axes": (state(x=tensor(shape=(2, 2), strides=(1,))), "shape and strides are two tuples"),
}


# --- Files -----------------------------------------------------------------------------------------------------------

GOOD = state(x=tensor())
ZIP = zip_form(GOOD, {"0": DATA})
LEGACY = legacy_form(GOOD, {"0": DATA}, {"0": 4})
DIRECTORY, END = ZIP.index(b"PK\x01\x02"), ZIP.rindex(b"PK\x05\x06")


def patched(content, position, *values):
    """A file with other bytes from a position on."""
    change = b"".join(values)
    return content[:position] + change + content[position + len(change) :]


def deflated(name, data, size):
    """A zip file in which an entry is deflated, and the directory says that it has so many bytes."""
    entries = {"archive/data.pkl": GOOD, "archive/data/0": DATA, "archive/version": b"3\n"}
    content = zip_bytes({**entries, name: data}, compressed={name})
    record = content.rindex(name.encode()) - 46  # its own is the last
    return patched(content, record + 24, struct.pack("<L", size))


def in_legacy(*parts):
    return b"".join(map(pickled, parts))


def many_entries(count, extra):
    """A zip file of empty entries, in whose directory each has this extra field."""
    local, directory = [], []
    for index in range(count):
        name = b"a/%d" % index
        offset = sum(map(len, local[-1:])) + (directory[-1][1] if directory else 0)
        record = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, len(name), len(extra), 0, 0, 0, 0, offset)
        local.append(struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0) + name)
        directory.append((record + name + extra, offset))
    start, content = sum(map(len, local)), b"".join(record for record, _ in directory)
    return b"".join(local) + content + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(content), start, 0)


MAGIC_NUMBER = LEGACY[2 : LEGACY.index(b".")]
SYSTEM = b"}(" + text("little_endian") + b"\x89u"
PAGES = {
    "an LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS pointer; run"),
    "a web page": (b"\n <!DOCTYPE html><html><body>404</body></html>", "a web page, .*download it again"),
    "nothing": (b"", "neither a zip file nor a pickle"),
    "a text": (b"hello", "neither a zip file nor a pickle"),
    "a tar file": (b"storages" + bytes(600), "neither a zip file nor a pickle"),
}
ZIPS = {
    **{f"its first {size} bytes": (ZIP[:size], "no directory at its end") for size in (4, 100, DIRECTORY, len(ZIP) - 22)},
    "a byte less": (ZIP[:-1], "no directory at its end|is not where it says"),
    "a byte more": (ZIP + b"x", "is not where it says"),
    "a directory past the end": (patched(ZIP, END + 16, struct.pack("<L", 2**31)), "is not where it says"),
    "a directory of 4 GB": (patched(ZIP, END + 12, b"\xff" * 4), "is not where it says"),
    "a directory of more entries": (patched(ZIP, END + 8, b"\xff\xff\xff\xff"), "ends too early"),
    "a directory of fewer entries": (patched(ZIP, END + 8, b"\1\0\1\0"), "bytes that are no entry's"),
    "a directory of 2 MB": (
        b"PK\x03\x04" + bytes(2 << 20) + b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 1, 1, 2 << 20, 4, 0),
        "may have 1048576 bytes; this one has 2097152",
    ),
    "many entries": (many_entries(18_000, b""), "one data.pkl in a folder; this one has 0"),
    "many fields of entries": (many_entries(15, bytes(65_532)), "one data.pkl in a folder; this one has 0"),
    "another disk": (patched(ZIP, END + 4, b"\1\0"), "is not where it says"),
    "an entry that is encrypted": (patched(ZIP, DIRECTORY + 8, b"\1"), "is encrypted or of method 0"),
    "an entry of method 12": (patched(ZIP, DIRECTORY + 10, b"\x0c"), "is encrypted or of method 12"),
    "an entry past the end": (patched(ZIP, DIRECTORY + 20, struct.pack("<2L", 2**31, 2**31)), "ends past the end"),
    "an entry of two sizes": (patched(ZIP, DIRECTORY + 20, struct.pack("<L", 1)), "has two sizes"),
    "an entry of 64 bits without them": (patched(ZIP, DIRECTORY + 20, b"\xff" * 8), "an entry has no size"),
    "an entry that begins elsewhere": (patched(ZIP, DIRECTORY + 42, struct.pack("<L", 7)), "is not where it says"),
    "an entry that begins past the end": (patched(ZIP, DIRECTORY + 42, struct.pack("<L", 2**31)), "is not where it says"),
    "an entry of another name": (patched(ZIP, 30, b"X"), "has another name where it begins"),
    "entries that overlap": (patched(ZIP, DIRECTORY + 20, struct.pack("<2L", *[len(GOOD) + 40] * 2)), "overlap"),
    "an entry twice": (
        zip_bytes({"a/one": b"1", "a/two": b"2", "a/data.pkl": GOOD}).replace(b"a/two", b"a/one"),
        "'a/one' is there twice",
    ),
    "no data.pkl": (zip_bytes({"archive/version": b"3"}), "one data.pkl in a folder; this one has 0"),
    "a data.pkl outside": (zip_bytes({"../archive/data.pkl": GOOD}), "this one has 0"),
    "two of data.pkl": (zip_bytes({"a/data.pkl": GOOD, "b/data.pkl": GOOD}), "this one has 2"),
    "a TorchScript program": (zip_bytes({"a/data.pkl": GOOD, "a/constants.pkl": b""}), "holds a TorchScript program"),
    "big-endian": (zip_bytes({"a/data.pkl": GOOD, "a/byteorder": b"big"}), "big-endian machine"),
    "no storage": (zip_form(GOOD), "storage '0' must have 16 bytes; it has no entry"),
    "a storage elsewhere": (zip_form(state(x=tensor("../data/0")), {"0": DATA}), "it has no entry"),
    "a storage of another size": (zip_form(GOOD, {"0": DATA[:12]}), "storage '0' must have 16 bytes; it has 12"),
    "a data.pkl of 2 MB": (zip_form(GOOD + bytes(2 << 20), {"0": DATA}), "may have 1048576 bytes; got"),
    "a bomb for a pickle": (deflated("archive/data.pkl", bytes(30 << 20), 30 << 20), "a compressed entry may have 1048576"),
    "a bomb for a storage": (deflated("archive/data/0", bytes(30 << 20), 30 << 20), "a compressed entry may have 1048576"),
    "a bomb that says it is small": (deflated("archive/data.pkl", bytes(30 << 20), 500), "has other than its 500 bytes"),
    "a compressed entry that is cut": (deflated("archive/data.pkl", GOOD, len(GOOD) + 5), "has other than its"),
    "a compressed entry that is none": (
        patched(ZIP, DIRECTORY + 10, b"\x08"),
        "a compressed entry is damaged|has other than its",
    ),
}
LEGACIES = {
    "a pickle without a magic number": (GOOD, "a storage is where none may be"),
    "a pickle of a list": (pickled(b"]"), "begins with its magic number; this is another pickle"),
    "another protocol": (in_legacy(MAGIC_NUMBER, integer(1000), SYSTEM), "protocol must be 1001"),
    "a big-endian machine": (in_legacy(MAGIC_NUMBER, integer(1001), SYSTEM), "its writer little-endian"),
    "no machine": (in_legacy(MAGIC_NUMBER, integer(1001), b"N"), "its writer little-endian"),
    "no state dict": (in_legacy(MAGIC_NUMBER, integer(1001), SYSTEM.replace(b"\x89", b"\x88")), "ends in the middle"),
    "no keys": (legacy_form(GOOD), "lists other storages"),
    "another key": (legacy_form(GOOD, {"1": DATA}, {"1": 4}), "lists other storages"),
    "a key too many": (legacy_form(GOOD, {"0": DATA, "1": b""}, {"0": 4, "1": 0}), "lists other storages"),
    "another length": (legacy_form(GOOD, {"0": DATA}, {"0": 3}), "must have 4 elements; it has 3"),
    "a negative length": (legacy_form(GOOD, {"0": DATA}, {"0": -4}), "must have 4 elements; it has -4"),
    "less than its storages": (LEGACY[:-1], "must have 4 elements; it has 4, or less"),
    "more than its storages": (LEGACY + b"xyz", "ends 3 bytes after its last storage"),
    "half of its head": (LEGACY[:40], "ends in the middle"),
}
HOSTILE = {
    **{f"zip: {what}": (zip_form(program, {"0": DATA}), message) for what, (program, message) in PROGRAMS.items()},
    **{f"old: {what}": (legacy_form(program, {"0": DATA}, {"0": 4}), message) for what, (program, message) in PROGRAMS.items()},
    **PAGES,
    **{f"zip: {what}": case for what, case in ZIPS.items()},
    **{f"old: {what}": case for what, case in LEGACIES.items()},
}
