"""Training without torch: from a batch and its labels to the gradients of all tensors.

    forward.py     the forward pass of `minibert/models/encoder.py`, which keeps what the backward pass reads; and dropout
    backward.py    the same steps in reverse: the chain rule, one operation at a time
    heads.py       heads, forward and backward, and their losses
    gradients.py   `loss_and_gradients(model, ..., labels=...)`: all of it

The formulas are in `minibert/kernels/reference.py` and `composed.py`, each with its gradient below it. As in the forward pass, tokens are
packed: padding is computed in neither direction.
"""
