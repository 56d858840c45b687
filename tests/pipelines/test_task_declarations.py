"""A pipeline task is one file and one entry: the README's example is tried, and what the tasks declare is consistent."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoints import make_checkpoint
from paths import ROOT

from minibert import InputError, InputTypeError, pipeline, pipelines
from minibert.cli import main
from minibert.cli.predict import COMMANDS
from minibert.pipelines import COMMAND_TASKS, TASKS, Registration, pipeline_class
from minibert.run.tasks import command_tasks, make_task

TEXTS = ["a good movie", "bad", "this film\nis great"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(make_checkpoint(tmp_path_factory.mktemp("m"), num_labels=3, id2label={0: "NEG", 1: "POS", 2: "NEU"}))


@pytest.fixture
def margin(monkeypatch, tmp_path):
    """The README's task: its file, imported as if it lay in minibert/pipelines/, and its entry."""
    readme = (ROOT / "minibert" / "README.md").read_text(encoding="utf-8")
    section = readme[readme.index("### Add a task") : readme.index("## Models")]
    file, entry = re.findall(r"^```py\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
    path, name = tmp_path / "margin.py", "minibert.pipelines.margin"
    path.write_text(file, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    for task, registration in eval(f"{{{entry}}}", {"Registration": Registration}).items():
        monkeypatch.setitem(TASKS, task, registration)


def run(capsys, *arguments):
    try:
        status = main([*arguments])
    except SystemExit as exit_:
        status = exit_.code
    out, err = capsys.readouterr()
    return status, out, err


# --- A task of one file ----------------------------------------------------------------------------------------------


def margins(model, kernels="auto", **options):
    """The right values, from text-classification's scores."""
    for text in TEXTS:
        best, second, _ = pipeline("text-classification", model, kernels=kernels)(text, top_k=3, **options)
        yield best["label"], best["score"] - second["score"]


def test_a_new_task_is_a_pipeline(margin, model):
    pipe = pipeline("margin", model)
    for answer, (label, value) in zip(pipe(TEXTS), margins(model), strict=True):
        assert answer == {"label": label, "margin": pytest.approx(value, abs=1e-6)}
    assert list(pipe.stream(iter(TEXTS))) == [pytest.approx(answer) for answer in pipe(TEXTS)]
    with pytest.raises(InputTypeError, match="the options are percent, batch_size, truncation"):
        pipe("bad", top_k=2)
    with pytest.raises(InputError, match="no model for margin comes with minibert"):
        pipeline("margin")
    with pytest.raises(InputError, match="the tasks are text-classification, .*, margin, sentiment-analysis"):
        pipeline("sing")


def test_a_new_task_needs_a_model_that_was_trained_for_it(margin, tmp_path):
    with pytest.raises(InputError, match="margin needs a model that was trained for it"):
        pipeline("margin", make_checkpoint(tmp_path / "model", "bert", "ForTokenClassification"))


def test_a_new_task_runs_over_a_file_with_its_options(margin, model, tmp_path, capsys):
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"n": n, "text": text}) + "\n" for n, text in enumerate(TEXTS)))
    command = ["run", "--task", "margin", "--model", model, "--kernels", "reference", str(source)]
    for options, factor in (([], 1), (["--percent"], 100)):
        status, out, err = run(capsys, *command, *options)
        rows = [json.loads(line) for line in out.splitlines()]
        assert (status, err) == (0, "") and [list(row) for row in rows] == [["n", "text", "label", "margin"]] * 3
        for row, text, (label, value) in zip(rows, TEXTS, margins(model, "reference"), strict=True):
            assert (row["text"], row["label"], row["margin"]) == (text, label, pytest.approx(factor * value, abs=1e-4))
    status, _, err = run(capsys, *command, "--labels", "a,b")
    assert status == 1 and "--labels does nothing for margin, whose options are --percent, --truncate." in err
    status, _, err = run(capsys, "run", "--model", model, str(source), "--percent")
    assert status == 1 and "--percent does nothing for text-classification" in err


def test_the_help_of_run_names_a_new_task_and_its_options(margin, capsys):
    status, out, _ = run(capsys, "run", "--help")
    text = re.sub(r"-?\s*\n\s*", lambda match: "-" if match[0].startswith("-") else " ", out)
    assert status == 0 and "zero-shot-classification, margin, sentence-embeddings" in text
    assert "--percent margins in percent [margin]" in re.sub(" +", " ", text)
    assert "feature-extraction, margin]" in text  # --truncate


# --- What the tasks declare ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*TASKS, *COMMAND_TASKS])
def test_a_task_is_registered_under_its_name_and_declares_options_that_it_has(name):
    task_class = pipeline_class(name)
    assert task_class.task == name
    options = {option.name: option for option in task_class.command_options}
    assert len(options) == len(task_class.command_options) and set(task_class.required_options) <= set(options)
    for option in options.values():
        assert option.type in (str, int, bool, Path) and bool(option.parameter) != bool(option.input), option
        assert option.help and option.help[0].islower() and not option.help.endswith(".")
        if name in TASKS and option.parameter:
            assert option.parameter in (*task_class.option_names, *task_class.tokenizer_options), option


def test_an_option_of_several_tasks_has_one_type():
    types = {}
    for name in command_tasks():
        for option in pipeline_class(name).command_options:
            types.setdefault(option.name, set()).add((option.type, option.metavar))
    assert all(len(found) == 1 for found in types.values()), types


def test_a_name_belongs_to_one_task():
    names = [name for task, entry in command_tasks().items() for name in (task, *entry.aliases)]
    assert len(names) == len(set(names))
    assert {command.task for command in COMMANDS.values()} <= set(command_tasks())


def test_a_question_comes_from_an_option_or_from_a_column(tmp_path):
    folder = str(make_checkpoint(tmp_path / "model", "bert", "ForQuestionAnswering"))
    row = {"text": "a good movie", "q": "what ?"}
    one = make_task("question-answering", folder, "text", {"question": "what ?", "question_column": None})
    other = make_task("question-answering", folder, "text", {"question": None, "question_column": "q"})
    assert one.make_input(row) == other.make_input(row) == {"question": "what ?", "context": "a good movie"}
    assert other.input_columns == {"--text-column": "text", "--question-column": "q"}
    with pytest.raises(InputError, match="takes one of --question and --question-column; got both"):
        make_task("question-answering", folder, "text", {"question": "what ?", "question_column": "q"})


# --- What is imported when -------------------------------------------------------------------------------------------


def modules_of(code):
    """The modules that a process has imported at its end."""
    code += "\nimport sys; print(*sys.modules, file=sys.stderr)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def task_files(modules):
    files = {registration.path.partition(":")[0] for registration in command_tasks().values()}
    return {file for file in files if f"{pipelines.__name__}{file}" in modules}


@pytest.mark.parametrize("arguments", [["--help"], ["kernels"], ["tokenize", "--help"], ["models"]], ids=str)
def test_commands_without_a_task_import_no_task(arguments):
    modules = modules_of(f"from minibert.cli import main\ntry: main({arguments})\nexcept SystemExit: pass")
    assert not task_files(modules) and (arguments == ["kernels"] or "numpy" not in modules)


def test_a_command_and_a_pipeline_import_the_file_of_their_own_task_only():
    assert task_files(modules_of("from minibert.cli import main\ntry: main(['ner', '--help'])\nexcept SystemExit: pass")) == {
        ".token_classification"
    }
    assert task_files(modules_of("import minibert; minibert.pipeline('sentiment-analysis')")) == {".text_classification"}


THREADS_AT_IMPORT = """
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy" and "seen" not in globals():
            globals()["seen"] = os.environ.get("OMP_NUM_THREADS")
sys.meta_path.insert(0, Finder())
from minibert.cli import main
main({arguments})
assert seen == "3", seen
"""


@pytest.mark.parametrize("option", [["--threads", "3"], ["--threads=3"], ["--thr", "3"]], ids=str)
def test_threads_are_set_before_numpy_is_imported(option, model, tmp_path):
    """The libraries that NumPy uses read their variables only then, and the tasks' options import it."""
    (tmp_path / "in.txt").write_text("bad\n")
    arguments = ["run", "--model", model, "--kernels", "reference", str(tmp_path / "in.txt"), *option]
    modules_of(THREADS_AT_IMPORT.format(arguments=arguments))
