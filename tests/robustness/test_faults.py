"""Every fault of tests/support/faults.py is one of minibert's errors, at once, in little memory, and nothing else is opened.

All are tried in one process of its own, this file run as a script, so that a crash fails a test and memory is measured by
itself: what the process grows by (resource), and what Python allocates (tracemalloc). An audit hook notes every file that
is opened, and every name that Python's pickle looks up.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import pytest
from checkpoints import make_checkpoint, rewrite_config
from damaged_files import WHOLE
from faults import FAULTS, classify, embed, settings
from paths import ROOT, SUPPORT

from minibert import AutoModel, MinibertError, errors

MEMORY = 50 << 20  # bytes
HANG = 30  # seconds: a guard, not a measure


# --- The process that tries them -------------------------------------------------------------------------------------

opened = []


def note_opened(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        opened.append(os.path.abspath(os.fsdecode(arguments[0])))
    elif event == "pickle.find_class" or (event == "exec" and "outside" in str(arguments)):
        opened.append(event)


def high_water():
    """The most memory this process ever had, in bytes; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def attempt(fault, folder):
    """Damage a new model and use it -> what came of it, and what that took; once more for what tracing makes slow."""
    make_checkpoint(folder, fault.model_type, **({"head": "Model"} if fault.use is embed else {}))
    fault.make(folder)
    opened.clear()
    before, began = high_water(), time.perf_counter()
    result = outcome(fault, folder)
    result |= {"seconds": time.perf_counter() - began, "grown": high_water() - before}
    tracemalloc.start()
    outcome(fault, folder)
    result["traced"] = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    homes = tuple(str(Path(home).resolve()) for home in (folder, ROOT, sys.prefix, sys.base_prefix))
    result["outside"] = [path for path in opened if not path.startswith(homes)]
    return result


def outcome(fault, folder):
    try:
        return {"answer": repr(fault.use(folder))[:300]}
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)}


def try_all():
    """A line of JSON for each fault."""
    sys.addaudithook(note_opened)
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "outside").mkdir()
        (Path(home) / "outside" / "secret.safetensors").write_bytes(WHOLE)
        (Path(home) / "outside" / "config.json").write_text("{}")
        classify(make_checkpoint(Path(home) / "whole"))  # what is imported is no fault's
        for index, (name, fault) in enumerate(FAULTS.items()):
            print(json.dumps([name, attempt(fault, Path(home).resolve() / f"m{index}")]), flush=True)


@pytest.fixture(scope="module")
def outcomes():
    folders = os.pathsep.join([str(ROOT), str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, __file__], capture_output=True, text=True, timeout=600, env={**os.environ, "PYTHONPATH": folders}
    )
    assert done.stdout, done.stderr
    return {"": f"{done.returncode}: {done.stderr[-2000:]}", **dict(map(json.loads, done.stdout.splitlines()))}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_error_at_once_in_little_memory(name, outcomes):
    assert name in outcomes, f"the process ended before or in it, with {outcomes['']}"
    result, fault = outcomes[name], FAULTS[name]
    assert result.get("error") == fault.error, result
    assert issubclass(getattr(errors, result["error"]), MinibertError)
    assert re.search(fault.message, result["message"]) and len(result["message"]) < 3000, result["message"][:500]
    assert result["outside"] == [], "a file was opened that is not the model's, or a pickle was loaded"
    assert result["seconds"] < HANG
    assert result["traced"] < MEMORY and result["grown"] < MEMORY


def test_code_in_a_checkpoint_is_never_run(tmp_path):
    folder = make_checkpoint(tmp_path / "m")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'was here')!r}, 'w')\nclass Evil: pass\n")
    rewrite_config(folder, auto_map={"AutoModel": "evil.Evil"}, custom_pipelines={"x": {"impl": "evil.Evil"}})
    settings(auto_map={"AutoTokenizer": ["evil.Evil", None]}, tokenizer_file="/etc/hostname", vocab_file="/etc/hostname")(
        folder
    )
    assert classify(folder) and AutoModel.from_pretrained(folder)
    assert not (tmp_path / "was here").exists() and "evil" not in sys.modules


if __name__ == "__main__":
    try_all()
