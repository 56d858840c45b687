"""Names that programs take from transformers' top level: pipelines, `logging`, `set_seed`."""

import logging
import random
import subprocess
import sys

import numpy as np
import pytest
from checkpoints import make_checkpoint, small_config

import minibert
from minibert import InputError, InputTypeError, MinibertWarning
from minibert.pipelines import TASKS, pipeline_class


@pytest.fixture
def logger():
    """minibert's, as it was before."""
    logger = logging.getLogger("minibert")
    level, handlers = logger.level, list(logger.handlers)
    yield logger
    logger.setLevel(level)
    logger.handlers[:] = handlers
    minibert.logging.enable_progress_bar()


def test_the_class_of_every_task_is_public():
    classes = {pipeline_class(task).__name__: pipeline_class(task) for task in TASKS}
    assert classes == {name: getattr(minibert, name) for name in minibert.__all__ if name in classes}
    assert minibert.NerPipeline is minibert.TokenClassificationPipeline
    assert all(issubclass(owner, minibert.Pipeline) for owner in classes.values())


@pytest.mark.parity
def test_they_have_transformers_names():
    transformers = pytest.importorskip("transformers", reason="parity needs transformers: pip install -e '.[test]'")
    gone = {"QuestionAnsweringPipeline"}  # removed there in 5.3
    names = [name for name in minibert.__all__ if name.endswith("Pipeline") and name not in gone]
    assert len(names) == 7 and all(hasattr(transformers, name) for name in [*names, "logging", "set_seed"])
    assert {name for name in minibert.logging.__all__ if not hasattr(transformers.logging, name)} == set()


# --- logging ---------------------------------------------------------------------------------------------------------


def test_the_verbosity_is_the_level_of_the_logger(logger):
    for name in ("debug", "info", "warning", "error"):
        getattr(minibert.logging, f"set_verbosity_{name}")()
        assert logger.level == minibert.logging.get_verbosity() == getattr(minibert.logging, name.upper())
    minibert.logging.set_verbosity(np.int64(25))
    assert logger.level == 25
    for wrong, error in (("info", InputTypeError), (-1, InputError)):
        with pytest.raises(error, match="verbosity must be an integer from 0 up"):
            minibert.logging.set_verbosity(wrong)


def test_errors_only_leaves_out_that_no_model_was_named(logger, caplog):
    minibert.logging.set_verbosity_error()
    minibert.pipeline("sentiment-analysis")
    assert not caplog.records
    minibert.logging.set_verbosity_warning()
    minibert.pipeline("sentiment-analysis")
    assert "No model was named" in caplog.text


def test_messages_below_a_warning_are_shown_without_handlers_of_the_program():
    code = """
from minibert import logging
logger = logging.get_logger("minibert.mine")
logger.info("not yet")
logging.set_verbosity_info()
logging.set_verbosity_debug()
logger.info("shown")
logging.set_verbosity_error()
logger.info("no more")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "shown\n")


def test_loggers_are_pythons(logger):
    assert minibert.logging.get_logger() is logger is minibert.logging.get_logger("minibert")
    assert minibert.logging.get_logger("mine") is logging.getLogger("mine")
    with pytest.raises(InputTypeError, match="name must be a string or None; got 5"):
        minibert.logging.get_logger(5)


def test_the_progress_bar_is_the_hubs(logger, monkeypatch):
    from huggingface_hub import utils

    from minibert import _download

    shown = []
    monkeypatch.setattr(utils, "enable_progress_bars", lambda: shown.append(True))
    monkeypatch.setattr(utils, "disable_progress_bars", lambda: shown.append(False))
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *arguments, **options: exec("raise KeyError"))
    monkeypatch.setattr(_download, "progress_bars", None)
    for set_bars in (lambda: None, minibert.logging.disable_progress_bar, minibert.logging.enable_progress_bar):
        set_bars()
        with pytest.raises(KeyError):
            _download._fetch("a/b", "config.json", revision="main")
    assert shown == [False, True] and minibert.logging.is_progress_bar_enabled()
    minibert.logging.disable_progress_bar()
    assert not minibert.logging.is_progress_bar_enabled()


# --- set_seed --------------------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_random_numbers_again():
    def drawn():
        minibert.set_seed(42)
        return random.random(), np.random.rand()

    assert drawn() == drawn() == (random.Random(42).random(), np.random.RandomState(42).rand())


@pytest.mark.parity
def test_the_random_numbers_are_transformers_and_torch_has_them_too():
    torch = pytest.importorskip("torch", reason="parity needs torch: pip install -e '.[test]'")
    transformers = pytest.importorskip("transformers", reason="parity needs transformers: pip install -e '.[test]'")
    drawn = []
    for library in (minibert, transformers):
        library.set_seed(7)
        drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert drawn[0] == drawn[1]


def test_weights_that_no_checkpoint_has_follow_from_the_seed(tmp_path):
    folder = make_checkpoint(tmp_path, "bert", "ForMaskedLM")

    def weights(seed):
        minibert.set_seed(seed)
        with pytest.warns(MinibertWarning, match="are new, at random"):
            loaded = minibert.BertForSequenceClassification.from_pretrained(folder)
        return loaded.tensors["classifier.weight"], minibert.BertModel(small_config("bert")).tensors["pooler.dense.weight"]

    for first, again, other in zip(weights(1), weights(1), weights(2)):
        assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_a_seed_has_32_bits():
    minibert.set_seed(2**32 - 1, deterministic=True)
    for wrong, error in ((2**32, InputError), (-1, InputError), ("a", InputTypeError), (None, InputTypeError)):
        with pytest.raises(error, match="seed must be an integer from 0"):
            minibert.set_seed(wrong)
