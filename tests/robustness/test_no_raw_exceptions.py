"""Hostile values at every option of every public call: each returns, or raises one of minibert's errors.

The calls come from `minibert.__all__`, the public methods of its classes and the tasks of `pipeline`; their options from
the signatures. So a new name or option is covered by itself. If it needs a valid argument first, a test here asks for a
line in VALID. What is no public call, although its name has no underscore, stands in INTERNAL with the reason.

    pytest tests/robustness/test_no_raw_exceptions.py -k "BertTokenizer.encode"     one call
    pytest tests/robustness/test_no_raw_exceptions.py --slow                        all values everywhere, and random pairs of them

Values that are legal may succeed. Only the type of an exception is judged here, not its message.
"""

import logging
import os
import random
import signal
import time
import traceback
import warnings
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hostile_values import VALUES
from public_calls import Call, every_public_call
from use_results import use_threads
from valid_calls import BASES, CLASSES, KEEPS_UNKNOWN_KEYS, NO_CALLS, PROTOCOLS, PUBLIC, VALID, Bench, bert_tokenizer, sample

import minibert
from minibert import InputTypeError, MinibertError, MinibertWarning

PACKAGE = Path(minibert.__file__).parent
KERNELS = (PACKAGE / "kernels").resolve()
SECONDS = 10  # that one call may take
MEMORY = 2 << 30  # bytes of address space that one call may add
LIMITED = os.path.exists("/proc/self/statm")  # which says how much there is
SHARE = 8  # code that several classes share gets all values in the first, every eighth in the others
PAIRS = 1000  # of values at two options of a call, with --slow

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the alarm and the limits of Unix")

# --- Judging ---------------------------------------------------------------------------------------------------------


class TooLong(BaseException):
    """The alarm's, which nothing in the package catches."""


def ring(*_):
    raise TooLong(f"more than {SECONDS} s")


class Failure(NamedTuple):
    option: str
    value: str
    error: str  # the exception's type
    message: str
    frame: str  # file:line function, the last in minibert


def attempt(call: Call, bench: Bench, arguments: dict, option="", value="", expected=MinibertError) -> Failure | None:
    """Make a call, and use what it returns. Its exception, unless it is one that is expected."""
    target = call.target(bench)
    signal.setitimer(signal.ITIMER_REAL, SECONDS, 1)  # again each second: what is raised in a callback may be lost
    try:
        call.use(target(**arguments), bench)
    except KeyboardInterrupt:
        raise
    except expected:
        pass
    except call.allowed:
        pass
    except BaseException as error:  # the alarm's, MemoryError, and what a library in Rust calls a panic
        signal.setitimer(signal.ITIMER_REAL, 0)
        return failure_of(error, option, value)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def failure_of(error: BaseException, option: str, value: str) -> Failure:
    try:
        message = f"{error}".split("\n")[0][:120]
    except (RecursionError, ValueError):  # it shows the value
        message = ""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        for folder in (PACKAGE, KERNELS):
            if (path := Path(frame.filename)).is_relative_to(folder):
                where = f"{(folder.name / path.relative_to(folder)).as_posix()}:{frame.lineno} {frame.name}"
                return Failure(option, value, type(error).__name__, message, where)
    return Failure(option, value, type(error).__name__, message, "the call itself")


def report(call: Call, failures: list[Failure]) -> str:
    """One entry for all values that fail at the same line in the same way."""
    alike = defaultdict(list)
    for failure in failures:
        alike[failure.frame, failure.error].append(failure)
    entries = [f"{call.name}: {len(failures)} values fail, at {len(alike)} lines"]
    for (frame, error), same in alike.items():
        entries.append(f"  {frame}\n    {error}: {same[0].message}")
        for option in dict.fromkeys(failure.option for failure in same):
            labels = dict.fromkeys(failure.value for failure in same if failure.option == option)
            entries.append(f"    {option} = {' | '.join(labels)}")
    return "\n".join(entries)


def single_values(call: Call, bench: Bench, all_of_them: bool) -> Iterator[tuple[dict, str, str]]:
    """(arguments, option, value): each value at each option, among each set of valid arguments."""
    for option in call.options:
        labels = list(VALUES)
        if not all_of_them and (call.code, option) in SHARED[call.name]:
            labels = labels[list(CALLS).index(call.name) % SHARE :: SHARE]
        for valid, label in product(call.valid(bench), labels):
            yield {**valid, option: VALUES[label]()}, option, label


def pairs_of_values(call: Call, bench: Bench) -> Iterator[tuple[dict, str, str]]:
    chance, valid = random.Random(call.name), call.valid(bench)
    for _ in range(PAIRS if len(call.options) > 1 else 0):
        options, labels = chance.sample(call.options, 2), chance.choices(list(VALUES), k=2)
        hostile = {option: VALUES[label]() for option, label in zip(options, labels)}
        yield {**chance.choice(valid), **hostile}, ", ".join(options), ", ".join(labels)


CALLS = {call.name: call for call in every_public_call()}
SHARED: dict[str, set] = {}  # the options of a call that one before it has as well, in the same code
_before: set = set()
for _call in CALLS.values():
    _own = {(_call.code, option) for option in _call.options}
    SHARED[_call.name] = _own & _before
    _before |= _own


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Without the hub."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        folder = tmp_path_factory.mktemp("bench")
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_HOME", str(folder / "hub"))
        warnings.simplefilter("ignore")
        minibert.warm_up()  # what is compiled and imported here, the alarm does not count
        use_threads(None, None)
        for value in VALUES.values():
            value()
        yield Bench(folder)


@pytest.fixture
def limits(bench, tmp_path, monkeypatch):
    """An empty folder to be in, the alarm, a limit of memory, and an error for each warning that is not minibert's."""
    import resource

    monkeypatch.chdir(tmp_path)
    threads, before = minibert.get_num_threads(), resource.getrlimit(resource.RLIMIT_AS)
    logger = logging.getLogger("minibert")
    level, handlers = logger.level, list(logger.handlers)
    handler = signal.signal(signal.SIGALRM, ring)
    if LIMITED:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + MEMORY, before[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", MinibertWarning)
        yield
    resource.setrlimit(resource.RLIMIT_AS, before)
    signal.signal(signal.SIGALRM, handler)
    minibert.set_num_threads(threads)
    logger.setLevel(level)
    logger.handlers[:] = handlers


NO_SIGNATURE = {
    name for name in CALLS if name.endswith(("=", ".__getitem__")) or name.startswith("pipeline(") and name.endswith("')")
}  # Python's own


def each(calls):
    return pytest.mark.parametrize("call", calls, ids=[call.name for call in calls])


# --- The tests -------------------------------------------------------------------------------------------------------


def test_every_public_name_and_option_is_covered():
    covered = {name.partition(".")[0].partition("(")[0] for name in CALLS}
    assert {value.__name__ for value in PUBLIC.values() if value not in NO_CALLS} <= covered
    open_ended = [name for name, call in CALLS.items() if call.open_ended]
    assert not open_ended, f"what **options do these take? Say it in keys_of or FURTHER; or call it **unknown: {open_ended}"
    parents = {parent for owner in CLASSES for parent in owner.__mro__}
    methods = {f"{parent.__name__}.{name}" for parent in parents for name in vars(parent)}
    stale = {name for name in VALID if "." in name} - methods
    assert not stale, f"there are no such methods: {stale}"


@each(CALLS.values())
def test_valid_arguments_are_valid(call, bench, limits):
    expected = MinibertError if call.name.partition(".")[0] in BASES else ()
    for valid in call.valid(bench):
        failure = attempt(call, bench, valid, expected=expected)
        assert failure is None, f"{call.name} must have valid arguments in VALID: {failure}"


@each(CALLS.values())
def test_a_hostile_value_gives_an_answer_or_a_minibert_error(call, bench, limits, request):
    values = single_values(call, bench, request.config.getoption("--slow"))
    failures = [failure for value in values if (failure := attempt(call, bench, *value))]
    if failures:
        pytest.fail(report(call, failures), pytrace=False)


@pytest.mark.slow
@each(CALLS.values())
def test_two_hostile_values_give_an_answer_or_a_minibert_error(call, bench, limits):
    failures = [failure for pair in pairs_of_values(call, bench) if (failure := attempt(call, bench, *pair))]
    if failures:
        pytest.fail(report(call, failures), pytrace=False)


@each(
    [
        call
        for name, call in CALLS.items()
        if call.options
        and not name.endswith("=")
        and name not in KEEPS_UNKNOWN_KEYS
        and name.rpartition(".")[2] not in PROTOCOLS
    ]
)
def test_an_unknown_keyword_is_an_input_type_error(call, bench, limits):
    for valid in call.valid(bench):
        try:
            call.target(bench)(**valid, no_such_option=None)
        except InputTypeError as error:
            assert "no_such_option" in str(error)
        except Exception as error:
            pytest.fail(f"{call.name}: {type(error).__name__}: {error}", pytrace=False)
        else:
            pytest.fail(f"{call.name} takes it", pytrace=False)


@each([call for name, call in CALLS.items() if call.options and name not in NO_SIGNATURE])
def test_too_few_arguments_or_too_many_are_a_minibert_error(call, bench, limits):
    """A method without any argument is left to Python."""
    for arguments in ((), (None,) * 60):
        target = partial(call.target(bench), *arguments)
        failure = attempt(call._replace(target=lambda bench, target=target: target), bench, {})
        assert failure is None, f"{call.name} with {len(arguments)} arguments: {failure}"


def test_what_counts_as_a_failure(bench, limits, monkeypatch):
    def outcome(function, **more):
        failure = attempt(Call("f", lambda bench: function, (), lambda bench: [{}], None), bench, {}, "option", "value", **more)
        return failure and failure.error

    def raise_(error):
        raise error

    monkeypatch.setitem(globals(), "SECONDS", 0.1)
    assert outcome(lambda: 3) is outcome(lambda: raise_(InputTypeError("no"))) is None
    assert outcome(lambda: warnings.warn("look", MinibertWarning, stacklevel=1)) is None
    assert outcome(lambda: raise_(TypeError("no"))) == "TypeError"
    assert outcome(lambda: raise_(TypeError("no")), expected=TypeError) is None
    assert outcome(lambda: np.float32(1) / np.float32(0)) == "RuntimeWarning"
    assert outcome(lambda: bytearray(2 * MEMORY if LIMITED else 1 << 60)) == "MemoryError"
    assert outcome(lambda: (1 / zero for zero in [0])) == "ZeroDivisionError"  # an iterator is read
    assert outcome(lambda: time.sleep(5)) == "TooLong"
    with pytest.raises(KeyboardInterrupt):
        outcome(lambda: raise_(KeyboardInterrupt()))


def broken():
    yield "a [MASK] movie"
    raise ZeroDivisionError("the caller's own")


@pytest.mark.parametrize(
    "read",
    [
        lambda bench: list(bench.pipe("text-classification")(broken())),
        lambda bench: list(bench.pipe("fill-mask")(broken(), batch_size=4)),
        lambda bench: list(bench.pipe("token-classification").stream(broken())),
        lambda bench: sample(minibert.SentenceEncoder).encode(broken()),
        lambda bench: list(sample(minibert.SentenceEncoder).stream(broken())),
        lambda bench: bert_tokenizer().encode_packed(broken()),
    ],
    ids=["call", "call in batches", "stream", "encode", "stream of vectors", "encode_packed"],
)
def test_an_exception_of_the_callers_own_iterator_passes_through(read, bench):
    with pytest.raises(ZeroDivisionError, match="^the caller's own$"):
        read(bench)
