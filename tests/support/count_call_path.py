"""What a reader meets on the way of one text: the functions of minibert and kernels that a call enters, in order.

    python tests/support/count_call_path.py

It is the second call of the bundled model's pipeline with the reference kernels; the first one fills caches.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
while not (ROOT / "pyproject.toml").exists():
    ROOT = ROOT.parent
ROOMS = ("minibert", "kernels")


def call_path(function, *arguments):
    """Call a function -> {file: [(line, name), ...]}: the code of minibert and kernels that it enters, in order of entry.

    A comprehension counts where it is code of its own, before Python 3.12."""
    codes = {}  # a dictionary for its order

    def note(frame, event, _):
        if event == "call":
            codes.setdefault(frame.f_code)

    profiler = sys.getprofile()
    sys.setprofile(note)
    try:
        function(*arguments)
    finally:
        sys.setprofile(profiler)
    files = {}
    for code in codes:
        path = Path(code.co_filename).resolve()
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in ROOMS:
            name = getattr(code, "co_qualname", code.co_name)  # the first since Python 3.11
            files.setdefault(str(path.relative_to(ROOT)), []).append((code.co_firstlineno, name))
    return files


def path_of_one_text():
    """What the second call of a pipeline enters."""
    from minibert import pipeline

    pipe = pipeline("sentiment-analysis", "minibert-sst2", kernels="reference")
    pipe("I love it")
    return call_path(pipe, "I love it")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    files = path_of_one_text()
    for file, functions in files.items():
        print(file, *(f"    {line:4}  {name}" for line, name in functions), sep="\n")
    print(f"{sum(map(len, files.values()))} functions in {len(files)} files")
