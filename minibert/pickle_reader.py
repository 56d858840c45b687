"""An interpreter of pickle opcodes that builds data and can call nothing but the functions its caller lists.

A pickle is a program for a machine with a stack. Python's own interpreter imports whatever module the program names and
calls what it finds there, which is why opening a stranger's pickle runs the stranger's code. This one has no way to
import: GLOBAL looks a name up in a mapping, REDUCE calls what that mapping holds, and a name or an opcode that no state
dict needs is a WeightsError. For example, the program that Python writes for {"a": 1}, at protocol 2:

    PROTO 2; EMPTY_DICT; BINPUT 0; BINUNICODE 'a'; BINPUT 1; BININT1 1; SETITEM; STOP

There are the opcodes that Python 2 and 3 write for data at protocols 2 to 5, which CPython's Lib/pickletools.py
describes. Next: `torch_file.py`, which has the names of a state dict.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .errors import WeightsError

LARGEST_PICKLE = 1 << 20  # bytes; the 400 tensors of a bert-large take 80,000
MOST_STEPS = 1 << 18  # opcodes run and items copied; a bert-large takes 17,000. A list costs a hostile file one byte
LONGEST_LINE = 1000  # bytes; GLOBAL has a module and a name in lines

CALLS = {  # opcodes that call something, or hand something over from outside of the file
    "i": "INST",
    "o": "OBJ",
    "\x81": "NEWOBJ",
    "\x92": "NEWOBJ_EX",
    "\x82": "EXT1",
    "\x83": "EXT2",
    "\x84": "EXT4",
    "P": "PERSID",
    "\x97": "NEXT_BUFFER",
    "\x98": "READONLY_BUFFER",
}
SAVE_AGAIN = "If you trust where it is from, load it with torch and save the model's state_dict() alone."


class Name(NamedTuple):
    """What GLOBAL pushes: a known name, and what REDUCE calls with its tuple of arguments, if that is allowed."""

    full: str  # module.name
    call: Callable[[tuple], Any] | None = None


def read_pickle(content: Any, start: int, names: Mapping[str, Name], load_persistent: Callable[[Any], Any]) -> tuple[Any, int]:
    """The pickle that begins at content[start] -> its object, and the index after its end.

    `names` maps each "module.name" that the pickle may use, and `load_persistent` gets what BINPERSID refers to. Raise
    WeightsError, which does not name the file, for anything else, and for a pickle that is damaged or too large.
    """
    machine = Machine(content[start : start + LARGEST_PICKLE], names, load_persistent)
    return machine.run(), start + machine.position


def opcode_error(byte: int) -> WeightsError:
    opcode = CALLS.get(chr(byte))
    what = f"the opcode {opcode}, which is there to run code" if opcode else f"the opcode {bytes([byte])!r}"
    return WeightsError(f"a state dict needs no such opcode; its pickle has {what}, and was not run. {SAVE_AGAIN}")


def name_error(module: str, name: str) -> WeightsError:
    full = f"{module}.{name}"
    shown = full if len(full) <= 200 else f"{full[:200]}..."
    return WeightsError(
        "a state dict names tensors, storages, types and OrderedDict only, and nothing else is ever called; its pickle "
        f"names {shown.encode('unicode_escape').decode()}. {SAVE_AGAIN}"
    )


def damaged(what: str) -> WeightsError:
    return WeightsError(f"its pickle {what}: it is damaged. Download it again.")


class Machine:
    """The program, and the state of the machine that runs it."""

    def __init__(self, program: bytes, names: Mapping[str, Name], load_persistent: Callable[[Any], Any]) -> None:
        self.program, self.names, self.load_persistent = program, names, load_persistent
        self.position = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []  # the stack's heights at MARK
        self.memo: dict[int, Any] = {}
        self.steps = 0

    def run(self) -> Any:
        """Run up to STOP -> what is on top of the stack then."""
        while (byte := self.take(1)[0]) != ord("."):
            self.count(1)
            operation = OPERATIONS.get(chr(byte))
            if operation is None:
                raise name_error(self.line(), self.line()) if byte == ord("i") else opcode_error(byte)
            operation(self)
        return self.pop()

    def count(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MOST_STEPS:
            raise WeightsError(f"a state dict's pickle may take {MOST_STEPS} steps; this one takes more. {SAVE_AGAIN}")

    # The program's bytes

    def take(self, count: int) -> bytes:
        piece = self.program[self.position : self.position + count]
        if len(piece) < count:
            limit = len(self.program) >= LARGEST_PICKLE
            raise damaged(f"has more than {LARGEST_PICKLE} bytes" if limit else "ends in the middle")
        self.position += count
        return piece

    def unsigned(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def line(self) -> str:
        """A line without its end."""
        end = self.program.find(b"\n", self.position, self.position + LONGEST_LINE)
        if end < 0:
            raise damaged("has a line without an end")
        return self.take(end + 1 - self.position)[:-1].decode("utf-8", "replace")

    def text(self, size: int) -> str:
        """`size`: the bytes of the text's length, which stands before it."""
        try:
            return self.take(self.unsigned(size)).decode()
        except UnicodeDecodeError:
            raise damaged("has text that is not UTF-8") from None

    # The stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise damaged("takes from an empty stack")
        return self.stack.pop()

    def pop_to_mark(self) -> list:
        if not self.marks:
            raise damaged("has no MARK where one is needed")
        height = self.marks.pop()
        items = self.stack[height:]
        del self.stack[height:]
        return items

    def pop_tuple(self, count: int) -> tuple:
        return tuple(self.pop() for _ in range(count))[::-1]

    def top(self, expected: type) -> Any:
        """What is on top, and stays there; it must be of this very type."""
        value = self.pop()
        if type(value) is not expected:
            raise damaged(f"adds to a {type(value).__name__} as if it were a {expected.__name__}")
        self.push(value)
        return value

    # Memo, containers and calls

    def put(self, index: int) -> None:
        value = self.pop()
        self.push(value)
        self.memo[index] = value

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise damaged(f"refers to object {index}, which is not there")
        self.push(self.memo[index])

    def set_items(self, items: list) -> None:
        add_pairs(self.top(dict), items[::2], items[1::2])

    def look_up(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise damaged("names a global by what is no text")
        if f"{module}.{name}" not in self.names:
            raise name_error(module, name)
        self.push(self.names[f"{module}.{name}"])

    def reduce(self) -> None:
        function, arguments = self.pop_tuple(2)
        if not isinstance(function, Name) or function.call is None or type(arguments) is not tuple:
            called = function.full if isinstance(function, Name) else f"a {type(function).__name__}"
            raise WeightsError(f"a state dict calls tensors' rebuilders only; its pickle calls {called}. {SAVE_AGAIN}")
        self.count(sum(len(argument) for argument in arguments if type(argument) in (list, tuple)))
        self.push(function.call(arguments))

    def build(self) -> None:
        """An OrderedDict's attributes, such as a state dict's `_metadata`: nobody here asks for them."""
        if type(self.pop()) is not dict:
            raise damaged("sets attributes by what is no dict")
        self.top(dict)


def add_pairs(target: dict, keys: list, values: list) -> None:
    """Put new keys into a dict. Keys are text and integers: to hash a tuple that is nested deep ends the process."""
    if len(keys) != len(values):
        raise damaged("has a key without a value")
    for key, value in zip(keys, values):
        if type(key) not in (str, int):
            raise damaged(f"has a {type(key).__name__} for a name")
        if key in target:
            raise damaged(f"has {str(key)[:200]!r} twice")
        target[key] = value


def ordered_dict(arguments: tuple) -> dict:
    """OrderedDict() or, as Python 2 writes it, OrderedDict([[key, value], ...]) -> a dict, which has an order too."""
    pairs = arguments[0] if arguments else []
    if (
        len(arguments) > 1
        or type(pairs) is not list
        or not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs)
    ):
        raise damaged("has an OrderedDict of what are no pairs")
    target: dict = {}
    add_pairs(target, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return target


def check_protocol(machine: Machine) -> None:
    if (protocol := machine.unsigned(1)) > 5:
        raise damaged(f"is of protocol {protocol}; 5 is the last there is")


OPERATIONS: dict[str, Callable[[Machine], Any]] = {
    "\x80": check_protocol,  # PROTO
    "\x95": lambda machine: machine.take(8),  # FRAME: a hint for reading ahead
    "(": lambda machine: machine.marks.append(len(machine.stack)),  # MARK
    # constants and numbers
    "N": lambda machine: machine.push(None),
    "\x88": lambda machine: machine.push(True),  # NEWTRUE
    "\x89": lambda machine: machine.push(False),  # NEWFALSE
    "J": lambda machine: machine.push(int.from_bytes(machine.take(4), "little", signed=True)),  # BININT
    "K": lambda machine: machine.push(machine.unsigned(1)),  # BININT1
    "M": lambda machine: machine.push(machine.unsigned(2)),  # BININT2
    "\x8a": lambda machine: machine.push(int.from_bytes(machine.take(machine.unsigned(1)), "little", signed=True)),  # LONG1
    "G": lambda machine: machine.push(struct.unpack(">d", machine.take(8))[0]),  # BINFLOAT
    # text, of Python 2 too
    "U": lambda machine: machine.push(machine.text(1)),  # SHORT_BINSTRING
    "T": lambda machine: machine.push(machine.text(4)),  # BINSTRING
    "\x8c": lambda machine: machine.push(machine.text(1)),  # SHORT_BINUNICODE
    "X": lambda machine: machine.push(machine.text(4)),  # BINUNICODE
    "\x8d": lambda machine: machine.push(machine.text(8)),  # BINUNICODE8
    # containers
    ")": lambda machine: machine.push(()),  # EMPTY_TUPLE
    "\x85": lambda machine: machine.push(machine.pop_tuple(1)),  # TUPLE1
    "\x86": lambda machine: machine.push(machine.pop_tuple(2)),  # TUPLE2
    "\x87": lambda machine: machine.push(machine.pop_tuple(3)),  # TUPLE3
    "t": lambda machine: machine.push(tuple(machine.pop_to_mark())),  # TUPLE
    "]": lambda machine: machine.push([]),  # EMPTY_LIST
    "}": lambda machine: machine.push({}),  # EMPTY_DICT
    "a": lambda machine: (lambda item: machine.top(list).append(item))(machine.pop()),  # APPEND
    "e": lambda machine: (lambda items: machine.top(list).extend(items))(machine.pop_to_mark()),  # APPENDS
    "s": lambda machine: machine.set_items(list(machine.pop_tuple(2))),  # SETITEM
    "u": lambda machine: machine.set_items(machine.pop_to_mark()),  # SETITEMS
    # the memo
    "q": lambda machine: machine.put(machine.unsigned(1)),  # BINPUT
    "r": lambda machine: machine.put(machine.unsigned(4)),  # LONG_BINPUT
    "\x94": lambda machine: machine.put(len(machine.memo)),  # MEMOIZE
    "h": lambda machine: machine.get(machine.unsigned(1)),  # BINGET
    "j": lambda machine: machine.get(machine.unsigned(4)),  # LONG_BINGET
    # names and calls
    "c": lambda machine: machine.look_up(machine.line(), machine.line()),  # GLOBAL
    "\x93": lambda machine: machine.look_up(*machine.pop_tuple(2)),  # STACK_GLOBAL
    "R": Machine.reduce,  # REDUCE
    "b": Machine.build,  # BUILD
    "Q": lambda machine: machine.push(machine.load_persistent(machine.pop())),  # BINPERSID
}
