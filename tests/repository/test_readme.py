"""The README's code blocks run, and print what it says they print; its commands are those of continuous integration."""

import io
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout

import pytest
from checkpoints import make_checkpoint
from paths import ROOT

from minibert import Reranker, SentenceEncoder, pipeline
from minibert.pipelines import TASKS

READMES = [ROOT / "README.md", *(ROOT / room / "README.md" for room in ("minibert", "kernels", "tests", "benchmarks"))]
README = READMES[0].read_text(encoding="utf-8")
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in READMES)
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


def python_blocks():
    """Each python block with the text block that follows it."""
    for (language, code), (next_language, text) in zip(BLOCKS, [*BLOCKS[1:], ("", "")]):
        if language == "python":
            assert next_language == "text", f"a python block shows its output in a text block after it:\n{code}"
            yield code, text


def commands():
    """Each `$ command` of the console blocks with the output below it."""
    for language, text in BLOCKS:
        if language == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                yield command, output


@pytest.mark.parametrize(("code", "output"), list(python_blocks()))
def test_a_python_block_prints_what_it_says(code, output):
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert printed.getvalue() == output


@pytest.mark.parametrize(("command", "output"), list(commands()))
def test_a_command_prints_what_it_says(command, output, tmp_path):
    name, *arguments = shlex.split(command)
    assert name == "minibert"
    done = subprocess.run(
        [sys.executable, "-m", "minibert", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "HF_HUB_CACHE": str(tmp_path), "PYTHONUTF8": "1", "PYTHONPATH": str(ROOT)},
    )
    assert (done.stdout, done.stderr, done.returncode) == (output, "", 0)


HEADS = {
    "token-classification": ("ForTokenClassification", {}),
    "question-answering": ("ForQuestionAnswering", {}),
    "fill-mask": ("ForMaskedLM", {}),
    "text ranking": ("ForSequenceClassification", {"num_labels": 1}),
    "zero-shot-classification": ("ForSequenceClassification", {"id2label": {0: "no", 1: "entailment"}}),
}
EXAMPLES = re.findall(r"^\| `?([\w -]*\w)`?.*?\| `((?:pipeline|SentenceEncoder|Reranker)[^`]*)` \|", TEXT, flags=re.MULTILINE)


@pytest.mark.parametrize(("task", "example"), EXAMPLES)
def test_a_task_s_example_runs(task, example, tmp_path):
    """NAME is a tiny model at random, which takes few tokens and knows few words."""
    head, changes = HEADS.get(task, ("Model", {}))
    name = make_checkpoint(tmp_path, "bert", head, max_position_embeddings=64, **changes)
    answer = eval(example, {"NAME": str(name), "pipeline": pipeline, "SentenceEncoder": SentenceEncoder, "Reranker": Reranker})
    assert len(answer) > 0 or task == "token-classification"


def test_every_task_has_an_example():
    assert {task for task, _ in EXAMPLES} >= {*TASKS, "sentence embeddings", "text ranking"}


def test_the_two_commands_are_those_that_continuous_integration_runs():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    shell = dict.fromkeys(line for language, text in BLOCKS if language == "bash" for line in text.splitlines())
    assert len(shell) == 2
    for line in shell:
        for command in line.split(" && "):
            assert re.sub("pip install", "pip install --quiet", command) in script, command


def test_every_path_that_the_readme_names_is_there():
    tree = README[README.index("```\npyproject.toml") :].split("```")[1]
    for name in re.findall(r"`((?:minibert|kernels|tests|benchmarks)/[\w./-]*)`", TEXT):
        assert (ROOT / name).exists(), name
    folder = ROOT
    for line in tree.strip().splitlines():
        names = line.split("  ")[0] if not line.startswith(" ") else line.strip().split("  ")[0]
        for name in re.split(r", | -> .*", names.strip()):
            name = name.split(" ")[0]
            if not line.startswith(" "):
                folder = ROOT / name if name.endswith("/") else ROOT
            if name and name != "...":
                path = ROOT / name if not line.startswith(" ") else folder / name
                assert path.exists(), f"{line!r} names {path}"
