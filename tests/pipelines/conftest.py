"""What tests of pipelines share: a model for each task."""

import pytest
from pipeline_calls import HEADS, checkpoint_for

from minibert import pipeline


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A checkpoint of sixteen positions for each task."""
    return {task: checkpoint_for(task, tmp_path_factory.mktemp("model")) for task in HEADS}


@pytest.fixture(scope="module")
def ours(folders):
    return lambda task, **options: pipeline(task, folders[task], **options)
