"""What tests of commands share: kernels are compiled first, of which a command would tell on stderr."""

import pytest

from minibert.warmup import warm_up


@pytest.fixture(autouse=True, scope="session")
def compiled_kernels():
    warm_up()
