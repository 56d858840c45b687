"""Files of torch.save, written without torch, opcode by opcode, so that any part of them can be another one.

    torch_bytes({"x": ("F32", (2, 2), bytes(16))})                       the form since torch 1.6, a zip file
    torch_bytes({"x": ("F32", (2, 2), bytes(16))}, form="legacy")        the form before
    zip_form(pickled(text("x") + call("os", "system", text("true"))))    a pickle of one's own in it

An opcode function returns the bytes that push a value onto the machine's stack. tests/models/test_torch_file.py compares
`torch_bytes` with torch itself.
"""

import io
import math
import struct
import zipfile

from checkpoints import stored_tensors

STORAGES = {
    "F32": "FloatStorage",
    "F16": "HalfStorage",
    "BF16": "BFloat16Storage",
    "F64": "DoubleStorage",
    "I64": "LongStorage",
}
SIZES = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8, "I64": 8}
MAGIC = bytes.fromhex("8a0a6cfc9c46f9206aa85019")


# --- Opcodes ---------------------------------------------------------------------------------------------------------


def text(value):
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value):
    return (
        b"J" + struct.pack("<i", value)
        if -(2**31) <= value < 2**31
        else b"\x8a\x10" + value.to_bytes(16, "little", signed=True)
    )


def items(*values):
    """A tuple."""
    return b"(" + b"".join(values) + b"t"


def find_global(module, name):
    return f"c{module}\n{name}\n".encode()


def call(module, name, *arguments):
    return find_global(module, name) + items(*arguments) + b"R"


def storage(key, length, storage_type="FloatStorage", view=()):
    return items(text("storage"), find_global("torch", storage_type), text(key), text("cpu"), integer(length), *view) + b"Q"


def tensor(key="0", length=4, shape=(4,), strides=(1,), offset=0, storage_type="FloatStorage", more=(), view=()):
    """`view`: what the old form adds to the storage, None."""
    sizes = (items(*map(integer, values)) for values in (shape, strides))
    ordered = call("collections", "OrderedDict")
    function = "torch._utils", "_rebuild_tensor_v2"
    return call(*function, storage(key, length, storage_type, view), integer(offset), *sizes, b"\x89", ordered, *more)


def dictionary(**values):
    """An OrderedDict."""
    pairs = b"".join(text(name) + value for name, value in values.items())
    return call("collections", "OrderedDict") + b"(" + pairs + b"u"


def pickled(value):
    return b"\x80\x02" + value + b"."


# --- Files -----------------------------------------------------------------------------------------------------------


def zip_bytes(entries, compressed=()):
    """{name: bytes} -> a zip file, whose data begins at multiples of 64; those of `compressed` are deflated."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, data in entries.items():
            info = zipfile.ZipInfo(name)
            padding = -(content.tell() + 34 + len(name)) % 64
            info.extra = struct.pack("<2H", 0x4246, padding) + bytes(padding)  # as torch does it
            file.writestr(info, data, zipfile.ZIP_DEFLATED if name in compressed else zipfile.ZIP_STORED)
    return content.getvalue()


def zip_form(program, storages=(), **options):
    """A pickle and {key: bytes} -> the form since torch 1.6."""
    data = {f"archive/data/{key}": content for key, content in dict(storages).items()}
    head = {"archive/data.pkl": program, "archive/byteorder": b"little"}
    return zip_bytes({**head, **data, "archive/version": b"3\n"}, **options)


def legacy_form(program, storages=(), lengths=()):
    """A pickle, {key: bytes} and {key: elements} -> the form before torch 1.6."""
    system = b"}(" + text("protocol_version") + integer(1001) + text("little_endian") + b"\x88u"
    keys = b"](" + b"".join(map(text, dict(storages))) + b"e"
    head = b"".join(map(pickled, (MAGIC, integer(1001), system)))
    data = b"".join(struct.pack("<q", dict(lengths)[key]) + content for key, content in dict(storages).items())
    return head + program + pickled(keys) + data


def torch_bytes(tensors, form="zip", **options):
    """{name: (dtype, shape, bytes)}, as `safetensors_bytes` takes it -> a file of torch.save, each tensor contiguous."""
    state, storages, lengths, view = {}, {}, {}, [b"N"] if form == "legacy" else []
    for index, (name, (dtype, shape, data)) in enumerate(tensors.items()):
        strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        lengths[str(index)] = len(data) // SIZES[dtype]
        state[name] = tensor(str(index), lengths[str(index)], shape, strides, storage_type=STORAGES[dtype], view=view)
        storages[str(index)] = data
    program = pickled(dictionary(**state))
    return zip_form(program, storages, **options) if form == "zip" else legacy_form(program, storages, lengths)


def to_bin(folder, form="zip"):
    """model.safetensors of a folder becomes pytorch_model.bin."""
    (folder / "pytorch_model.bin").write_bytes(torch_bytes(stored_tensors(folder), form))
    (folder / "model.safetensors").unlink()
    return folder
