"""What tests of commands share: kernels are compiled first, of which a command would tell on stderr; and `minibert train`."""

import pytest
from checkpoints import make_checkpoint
from reviews import BAD, GOOD, write_lines

from minibert.warmup import warm_up


@pytest.fixture(autouse=True, scope="session")
def compiled_kernels():
    warm_up()


@pytest.fixture
def reviews(tmp_path):
    """24 reviews with the labels POS and NEG."""
    rows = [((GOOD, BAD)[index % 2][index % 3], ("POS", "NEG")[index % 2]) for index in range(24)]
    return write_lines(tmp_path / "reviews.tsv", ("text", "label"), rows)


@pytest.fixture
def base(tmp_path):
    """A checkpoint of DistilBERT without a head, at random."""
    return str(make_checkpoint(tmp_path / "base", "distilbert", "Model"))


@pytest.fixture
def train(run, base, tmp_path, request):
    """Options -> what `minibert train` says, and the folder it wrote into. Ten epochs at a high rate, small batches."""

    def train(train, *options, status=0, model=("--model", base), folder="out"):
        folder = tmp_path / folder
        usual = ("--epochs", "10", "--lr", "0.02", "--batch-size", "4")
        done = run("train", *model, "--train", train, "-o", str(folder), *usual, *options)
        assert done[0] == status, done
        return done[1], done[2], folder

    return train
