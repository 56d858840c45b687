"""transformers' Longformer in float64."""

from contextlib import contextmanager
from unittest import mock


@contextmanager
def softmax_in_the_type_of_its_input():
    """Inside, torch's softmax ignores its dtype. Longformer's computes in float32 whatever the model's type, so that its
    float64 is no yardstick as it stands."""
    import torch

    softmax = torch.nn.functional.softmax
    with mock.patch.object(torch.nn.functional, "softmax", lambda x, dim=None, dtype=None: softmax(x, dim=dim)):
        yield
