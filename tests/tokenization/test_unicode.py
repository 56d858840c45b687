"""The committed table of characters is what the script makes, and needs nothing of the running Python's own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

pytest.importorskip("tokenizers", reason="the table is made by asking tokenizers: pip install -e '.[test]'")

from make_unicode_table import SCALARS, TABLE, pack, probe

from minibert.tokenization.stages.unicode import unicode_table

PYTHONS = ["3.10.13", "3.12.1", "3.13.0", "3.14.0"]


@pytest.mark.parity
def test_the_table_holds_what_the_reference_says_of_a_tenth_of_the_characters():
    codes = sorted({*SCALARS[5::10], *range(0x0300, 0x0380), *unicode_table().combining, *unicode_table().white_space})
    for name, fact in probe(codes).items():
        ours = getattr(unicode_table(), name)
        expected = {c: ours[c] for c in codes if c in ours} if isinstance(fact, dict) else {c for c in codes if c in ours}
        assert fact == expected, name


@pytest.mark.slow
@pytest.mark.parity
def test_the_table_is_what_the_script_makes():
    assert json_of(TABLE.read_bytes()) == json_of(pack(probe()))


def json_of(packed):
    import zlib

    return json.loads(zlib.decompress(packed))


def test_the_table_is_small():
    assert TABLE.stat().st_size < 11_500


DIGEST = """
import hashlib, sys
sys.path[:0] = [{root!r}]
from minibert.tokenization import BertTokenizer
kinds = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *kinds[:70000:7], *("##" + kind for kind in kinds[:70000:5])]
digest = hashlib.sha256()
for lower in (True, False):
    tokenizer = BertTokenizer({{token: number for number, token in enumerate(dict.fromkeys(vocab))}}, do_lower_case=lower)
    for start in range(0, len(kinds), 3000):
        text = " ".join("a" + kind + "b\\u0323" for kind in kinds[start : start + 3000 : 30])
        batch = tokenizer([text], return_offsets_mapping=True)
        digest.update(repr((batch["input_ids"], batch["offset_mapping"], batch.word_ids(), batch.tokens())).encode())
print(digest.hexdigest())
"""


def python_of(version):
    return Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions" / version / "bin" / "python"


@pytest.fixture(scope="module")
def digest_here():
    return digest(sys.executable)


def digest(python):
    code = DIGEST.format(root=str(ROOT))
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout


@pytest.mark.parametrize("version", PYTHONS)
def test_another_python_gives_the_same_tokens(version, digest_here):
    if not python_of(version).exists():
        pytest.skip(f"no Python {version} beside this one")
    assert digest(str(python_of(version))) == digest_here


def test_the_running_python_decides_nothing():
    source = "".join(path.read_text("utf-8") for path in (ROOT / "minibert" / "tokenization").glob("*.py"))
    for name in (
        "import unicodedata",
        ".isspace(",
        ".lower()",
        ".casefold(",
        ".isalnum(",
        ".isalpha(",
        ".split()",
        r"\w",
        r"\s",
    ):
        allowed = source.count('"direction", str).lower()') if name == ".lower()" else 0
        assert source.count(name) == allowed, name
