"""Training without torch: from a batch and its labels to the gradients of all tensors, and from a data set to a trained model.

    forward.py     the forward pass of `minibert/models/encoder.py`, which keeps what the backward pass reads; and dropout
    backward.py    the same steps in reverse: the chain rule, one operation at a time
    heads.py       heads, forward and backward, and their losses
    hidden_states.py   the loss against a teacher's layers
    gradients.py   `loss_and_gradients(model, ..., labels=...)`: all of it

    optimizer.py   AdamW and clipping; lazy_rows.py, embeddings that a step does not touch
    schedules.py   the learning rate; freezing.py, which layers learn, and how fast
    data.py        rows -> batches; collators.py, how a caller asks for that; masking.py, words to guess
    steps.py       one step: batches -> gradients -> AdamW
    loop.py        epochs, and what is due after a step; callbacks.py, checkpoints.py
    trainer.py     `Trainer`, with the options of arguments.py; evaluation.py, metrics.py and results.py
                   ignored_options.py, what transformers has besides; overrides.py, methods that nothing calls
    lora.py        low-rank changes of the weights; head_only.py, a head on a frozen encoder
    tasks.py       what `minibert train` makes of a file's columns; model_card.py, plot.py

The formulas are in `minibert/kernels/reference.py` and `composed.py`, each with its gradient below it. As in the forward pass,
tokens are packed: padding is computed in neither direction.
"""
