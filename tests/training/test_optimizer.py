"""AdamW, schedules and clipping against torch's and transformers', in float64; layers that are frozen or learn slower."""

import numpy as np
import pytest
from training_batches import HEADS, batch, model_of

import minibert
from minibert import AdamW, InputError, InputTypeError, loss_and_gradients
from minibert.training.freezing import frozen_tensors, learning_rate_scales, levels
from minibert.training.optimizer import clip_factor, decays, gradient_norm
from minibert.training.schedules import SCHEDULES

SHAPES = {"dense.weight": (7, 5), "dense.bias": (7,), "norm.weight": (7,)}
STEPS = 300


def arrays(seed, scale=1.0):
    random = np.random.default_rng(seed)
    return {name: random.normal(size=shape) * scale for name, shape in SHAPES.items()}


@pytest.mark.parity
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_many_steps_are_torch_s(weight_decay):
    torch = pytest.importorskip("torch")
    parameters = arrays(0)
    theirs = {name: torch.nn.Parameter(torch.tensor(array)) for name, array in parameters.items()}
    groups = [{"params": [theirs[name]], "weight_decay": weight_decay * (name == "dense.weight")} for name in theirs]
    reference = torch.optim.AdamW(groups, betas=(0.8, 0.95), eps=1e-6)
    optimizer = AdamW(parameters, betas=(0.8, 0.95), eps=1e-6, weight_decay=weight_decay)
    for step in range(STEPS):
        rate, gradients = 1e-2 / (1 + step), arrays(step + 1, scale=10.0 ** (step % 5 - 3))
        for group in reference.param_groups:
            group["lr"] = rate
        for name, parameter in theirs.items():
            parameter.grad = torch.tensor(gradients[name])
        reference.step()
        optimizer.step(gradients, rate)
    for name, parameter in theirs.items():
        assert np.abs(parameters[name] - parameter.detach().numpy()).max() < 1e-13
        state = reference.state[parameter]
        assert np.allclose(optimizer.moments[name][0], state["exp_avg"].numpy(), rtol=1e-12, atol=1e-15)
        assert np.allclose(optimizer.moments[name][1], state["exp_avg_sq"].numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parity
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 1, 13])
def test_schedules_are_those_of_transformers(name, warmup):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    arguments = {"constant": {}, "constant_with_warmup": {"num_warmup_steps": warmup}}
    usual = {"num_warmup_steps": warmup, "num_training_steps": 100}
    reference = transformers.get_scheduler(name, optimizer, **arguments.get(name, usual))
    for step in range(120):
        assert abs(SCHEDULES[name](step, warmup, 100) - reference.get_last_lr()[0]) < 1e-15
        optimizer.step()
        reference.step()


@pytest.mark.parity
@pytest.mark.parametrize("max_norm", [0.1, 1000.0])
def test_clipping_is_torch_s(max_norm):
    torch = pytest.importorskip("torch")
    gradients = arrays(0)
    parameters = [torch.nn.Parameter(torch.zeros(shape).double()) for shape in SHAPES.values()]
    for parameter, gradient in zip(parameters, gradients.values()):
        parameter.grad = torch.tensor(gradient)
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    assert abs(gradient_norm(gradients) - norm.item()) < 1e-13
    for parameter, gradient in zip(parameters, gradients.values()):
        assert np.allclose(gradient * clip_factor(norm.item(), max_norm), parameter.grad.numpy(), rtol=1e-14)


def test_a_norm_is_summed_in_float64_and_zero_clips_nothing():
    gradients = {"x": np.full(10_000_000, 1e-3, np.float32)}
    assert gradient_norm(gradients) == pytest.approx(np.sqrt(10), rel=1e-6)
    assert clip_factor(5.0, 0) == 1 == clip_factor(0.5, 1) and clip_factor(0.0, 1) == 1


def test_a_step_scales_the_gradients_first():
    one, other = arrays(0), arrays(0)
    AdamW(one, eps=0.1).step(arrays(1), grad_scale=0.25)
    AdamW(other, eps=0.1).step({name: array * 0.25 for name, array in arrays(1).items()})
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parity
def test_weight_decay_is_for_the_tensors_that_transformers_decays():
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    trainer_class = transformers.Trainer
    for name in HEADS:
        model = model_of(name)
        config = transformers.AutoConfig.for_model(**model.config.to_dict())
        theirs = getattr(transformers, name)(config)
        prefix = model.encoder_names.prefix
        decayed = {key.removeprefix(prefix) for key in trainer_class.get_decay_parameter_names(None, theirs)}
        known = {key.removeprefix(prefix) for key, _ in theirs.named_parameters()} & set(model.tensors)
        assert {key for key in known if decays(key, model.tensors[key])} == decayed & known, name


def test_a_parameter_without_a_gradient_stays_and_lr_scales_hold():
    parameters = arrays(0)
    before = {name: array.copy() for name, array in parameters.items()}
    optimizer = AdamW(parameters, lr=0.1, weight_decay=0.1, lr_scales={"dense.bias": 0.0})
    optimizer.step({name: np.ones(shape) for name, shape in SHAPES.items() if name != "norm.weight"})
    assert np.array_equal(parameters["norm.weight"], before["norm.weight"])
    assert np.array_equal(parameters["dense.bias"], before["dense.bias"])
    assert np.allclose(parameters["dense.weight"], before["dense.weight"] * 0.99 - 0.1)


def test_the_state_goes_on_where_it_was():
    parameters, gradients = arrays(0), arrays(1)
    optimizer = AdamW(parameters)
    optimizer.step(gradients)
    copy = {name: array.copy() for name, array in parameters.items()}
    other = AdamW(copy)
    other.load_state_dict({name: array.copy() for name, array in optimizer.state_dict().items()}, 1)
    optimizer.step(gradients)
    other.step(gradients)
    assert all(np.array_equal(copy[name], parameters[name]) for name in copy)
    with pytest.raises(InputError, match="two moments for each of its parameters"):
        other.load_state_dict({}, 1)
    with pytest.raises(InputError, match="dense.weight has another"):
        other.load_state_dict({**optimizer.state_dict(), "exp_avg.dense.weight": np.zeros(3)}, 1)


def test_what_is_no_parameter_and_no_gradient_is_refused():
    with pytest.raises(InputError, match="Copy the model's"):
        mapped = np.zeros(3)
        mapped.flags.writeable = False
        AdamW({"x": mapped})
    with pytest.raises(InputTypeError, match="parameters must map names to arrays"):
        AdamW([np.zeros(3)])
    with pytest.raises(InputError, match="the name and the shape of a parameter; 'y' has not"):
        AdamW({"x": np.zeros(3)}).step({"y": np.zeros(3)})
    with pytest.raises(InputError, match="betas must be a number, 0 or more and below 1; got 1"):
        AdamW({}, betas=(0.9, 1))


# --- Layers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_frozen_layers_have_no_gradient_and_the_others_keep_theirs(name, layers):
    model = model_of(name)
    inputs, labels = batch(name)
    loss, gradients = loss_and_gradients(model, **inputs, **labels)
    same_loss, some = loss_and_gradients(model, **inputs, **labels, freeze_layers=layers)
    frozen = frozen_tensors(model, layers)
    assert same_loss == loss and frozen
    assert set(some) == set(gradients) - frozen
    for key, gradient in some.items():
        assert np.array_equal(gradient, gradients[key]), key


def test_levels_count_from_the_embeddings_to_the_head():
    model = minibert.BertForSequenceClassification(
        minibert.BertConfig(num_hidden_layers=3, hidden_size=12), kernels="reference"
    )
    level = levels(model)
    assert set(level) == set(model.tensors)
    assert level["embeddings.word_embeddings.weight"] == level["embeddings.LayerNorm.bias"] == 0
    assert level["encoder.layer.0.attention.self.query.weight"] == 1
    assert level["encoder.layer.2.output.dense.bias"] == 3
    assert level["classifier.weight"] == level["pooler.dense.weight"] == 4
    scales = learning_rate_scales(model, 0.5)
    assert scales["classifier.weight"] == 1 and scales["embeddings.LayerNorm.bias"] == 0.5**4


def test_more_layers_than_there_are_cannot_be_frozen():
    inputs, labels = batch(HEADS[0])
    with pytest.raises(InputError, match="freeze_layers may be up to the model's 2 layers; got 3"):
        loss_and_gradients(model_of(HEADS[0]), **inputs, **labels, freeze_layers=3)
