"""What transformers takes and means nothing here: accepted without effect, or one error that says what to do instead."""

import json
import shutil

import numpy as np
import pytest
from checkpoints import make_checkpoint

import minibert
from minibert import InputError, InputTypeError, MinibertWarning, WeightsError, pipeline
from minibert.ignored_arguments import DOWNLOADING, LOADING, PIPELINE, TOKENIZER_LOADING

TEXT = "the movie is good"
# argument -> values that change nothing, values that would. A new argument of a table needs a line.
VALUES = {
    "proxies": ([None], [{"https": "http://proxy"}]),
    "resume_download": ([None, True, False], ["yes"]),
    "mirror": ([None], ["tuna"]),
    "local_dir_use_symlinks": ([True, False], ["auto"]),
    "device_map": ([None, "auto", "cpu", {"": "cpu"}], ["cuda", 0, {"": 0}]),
    "low_cpu_mem_usage": ([None, True, False], ["yes"]),
    "attn_implementation": ([None, "eager", "sdpa"], ["flash_attention_2", 1]),
    "ignore_mismatched_sizes": ([None, False], [True]),
    "from_tf": ([None, False], [True]),
    "from_flax": ([None, False], [True]),
    "weights_only": ([None, True], [False]),
    "quantization_config": ([None], [{"load_in_8bit": True}]),
    "load_in_8bit": ([None, False], [True]),
    "load_in_4bit": ([None, False], [True]),
    "variant": ([None], ["fp16"]),
    "state_dict": ([None], [{}]),
    "return_dict": ([None, True], [False]),
    "torchscript": ([None, False], [True]),
    "offload_folder": ([None, "folder"], []),
    "max_memory": ([None, {0: "1GB"}], []),
    "use_fast": ([None, True, False], ["slow"]),
    "do_basic_tokenize": ([None, True], [False]),
    "never_split": ([None, [], ()], [["movie"]]),
    "tokenizer_type": ([None], ["bert"]),
    "from_slow": ([True, False], ["yes"]),
    "legacy": ([True, False], ["yes"]),
    "device": ([None, -1, "cpu", np.int64(-1)], [0, "cuda", "cuda:0", "mps"]),
    "framework": ([None, "pt"], ["tf"]),
    "num_workers": ([None, 0, 2], ["many"]),
    "feature_extractor": ([None], ["name"]),
    "image_processor": ([None], ["name"]),
    "processor": ([None], ["name"]),
    "clean_up_tokenization_spaces": ([None, True, False], ["yes"]),
    "binary_output": ([None, False], [True]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("model"), "bert", num_labels=3)


def load_model(folder, **options):
    return minibert.AutoModelForSequenceClassification.from_pretrained(folder, **options)


def logits(model):
    return model([[2, 5, 7, 9, 3]]).logits


CALLS = {  # a table -> a function that takes its arguments, to what must not change
    "models": (LOADING, lambda folder, **options: logits(load_model(folder, **options)).tolist()),
    "one class": (
        DOWNLOADING,
        lambda folder, **options: logits(minibert.BertForSequenceClassification.from_pretrained(folder, **options)).tolist(),
    ),
    "tokenizers": (
        TOKENIZER_LOADING | DOWNLOADING,
        lambda folder, **options: minibert.AutoTokenizer.from_pretrained(folder, **options)(TEXT)["input_ids"],
    ),
    "one tokenizer": (
        TOKENIZER_LOADING,
        lambda folder, **options: minibert.BertTokenizer.from_pretrained(folder, **options)(TEXT)["input_ids"],
    ),
    "configurations": (DOWNLOADING, lambda folder, **options: minibert.AutoConfig.from_pretrained(folder, **options).to_dict()),
    "pipelines": (PIPELINE | LOADING | DOWNLOADING, lambda folder, **options: pipeline(model=folder, **options)(TEXT)),
}
CASES = [(call, name) for call, (table, _) in CALLS.items() for name in table]


@pytest.mark.parametrize("call, name", CASES)
def test_a_value_that_changes_nothing_is_accepted_and_any_other_is_one_error(call, name, folder):
    table, compute = CALLS[call]
    expected = compute(folder)
    harmless, others = VALUES[name]
    for value in harmless:
        assert compute(folder, **{name: value}) == expected
    for value in others:
        with pytest.raises(InputError, match=f"^{name} must be .*; got .*[.] [A-Zm]") as error:
            compute(folder, **{name: value})
        assert table[name].fix in str(error.value)


def test_an_argument_that_nobody_knows_is_an_error_about_arguments(folder):
    for load in (load_model, minibert.AutoConfig.from_pretrained, minibert.AutoTokenizer.from_pretrained):
        with pytest.raises(InputTypeError, match="tensor_parallel"):
            load(folder, tensor_parallel=True)


# --- What selects something ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
def test_a_dtype_selects_kernels_or_nothing(name, folder):
    for value in ("float32", "auto", None, np.float32):
        assert load_model(folder, **{name: value}).kernels.preset == "fast"
    assert load_model(folder, **{name: "bfloat16"}).kernels.preset == "bf16"
    assert load_model(folder, kernels="reference", **{name: "bfloat16"}).kernels.preset == "reference"
    assert pipeline(model=folder, **{name: "bfloat16"}).model.kernels.preset == "bf16"
    with pytest.warns(MinibertWarning, match=f"{name} is float16; minibert computes in float32"):
        assert load_model(folder, **{name: "float16"}).kernels.preset == "fast"
    with pytest.raises(InputError, match=f"{name} must be 'float32'.*got 'int4'"):
        load_model(folder, **{name: "int4"})


@pytest.mark.parity
def test_dtypes_and_devices_of_torch_are_known(folder):
    torch = pytest.importorskip("torch", reason="parity needs torch: pip install -e '.[test]'")
    assert load_model(folder, torch_dtype=torch.bfloat16, device_map=torch.device("cpu")).kernels.preset == "bf16"
    assert pipeline(model=folder, device=torch.device("cpu"), torch_dtype=torch.float32)(TEXT) == pipeline(model=folder)(TEXT)
    with pytest.raises(InputError, match="device must be 'cpu'"):
        pipeline(model=folder, device=torch.device("cuda:0"))


@pytest.mark.parity
@pytest.mark.parametrize("name", ["BertForSequenceClassification", "BertModel", "BertForMaskedLM"])
def test_the_loading_info_is_theirs(name, tmp_path):
    transformers = pytest.importorskip("transformers", reason="parity needs transformers: pip install -e '.[test]'")
    folder = make_checkpoint(tmp_path, "bert", "ForMaskedLM")
    _, expected = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    with pytest.warns(MinibertWarning) if "Sequence" in name else nothing():
        model, info = getattr(minibert, name).from_pretrained(folder, output_loading_info=True)
    assert type(model).__name__ == name and info == expected


class nothing:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


def test_a_bare_encoder_may_be_loaded_without_its_pooler(tmp_path):
    folder = make_checkpoint(tmp_path, "bert", "Model")
    assert minibert.AutoModel.from_pretrained(folder)([[2, 5, 3]]).pooler_output is not None
    assert minibert.AutoModel.from_pretrained(folder, add_pooling_layer=False)([[2, 5, 3]]).pooler_output is None


def test_safetensors_may_be_required(folder, tmp_path):
    assert load_model(folder, use_safetensors=True)
    shutil.copytree(folder, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="use_safetensors=True weights must be safetensors; .* has only pytorch_model.bin"):
        load_model(tmp_path / "pickled", use_safetensors=True)


def test_a_model_may_be_in_a_subfolder_and_nowhere_else(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "models" / "bert")
    for load in (load_model, minibert.AutoTokenizer.from_pretrained, minibert.AutoConfig.from_pretrained):
        assert load(tmp_path, subfolder="models/bert")
    assert pipeline("sentiment-analysis", tmp_path, subfolder="models/bert")(TEXT) == pipeline(model=folder)(TEXT)
    for wrong in ("../models/bert", "models//bert", 5, "models/../../x", "/", "a\0b"):
        with pytest.raises(InputError, match="subfolder must be a folder of the model's own"):
            load_model(tmp_path, subfolder=wrong)


def test_code_of_a_checkpoint_is_not_run_though_it_is_trusted(folder, tmp_path):
    assert load_model(folder, trust_remote_code=True) and load_model(folder, trust_remote_code=False)
    shutil.copytree(folder, tmp_path / "own")
    config = json.loads((tmp_path / "own" / "config.json").read_text("utf-8"))
    (tmp_path / "own" / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "modeling.Mine"}}), "utf-8")
    with pytest.raises(InputError, match="runs no code of a checkpoint"):
        load_model(tmp_path / "own", trust_remote_code=True)
    with pytest.raises(InputError, match="runs no code of a checkpoint"):
        pipeline(model=tmp_path / "own", trust_remote_code=True)


def test_the_former_name_of_token_is_accepted_alone(folder):
    assert load_model(folder, use_auth_token="hf_x") and minibert.AutoTokenizer.from_pretrained(folder, use_auth_token=True)
    with pytest.raises(InputTypeError, match="former name of token; got both"):
        load_model(folder, token="a", use_auth_token="b")


# --- pipeline() ------------------------------------------------------------------------------------------------------


def test_a_pipeline_takes_the_loaders_arguments_in_dictionaries_too(folder):
    pipe = pipeline(
        "text-classification",
        folder,
        model_kwargs={"torch_dtype": "bfloat16", "low_cpu_mem_usage": True},
        tokenizer_kwargs={"model_max_length": 5},
    )
    assert pipe.model.kernels.preset == "bf16" and pipe.tokenizer.model_max_length == 5
    with pytest.raises(InputError, match="dtype is an argument and in model_kwargs too"):
        pipeline(model=folder, dtype="float32", model_kwargs={"dtype": "float32"})
    for name in ("model_kwargs", "tokenizer_kwargs"):
        with pytest.raises(InputTypeError, match=f"{name} must map names"):
            pipeline(model=folder, **{name: ["a"]})
    with pytest.raises(InputTypeError, match="tensor_parallel"):
        pipeline(model=folder, model_kwargs={"tensor_parallel": True})


def test_a_configuration_is_taken_by_name_and_in_transformers_third_position(folder):
    config = minibert.AutoConfig.from_pretrained(folder, id2label={0: "a", 1: "b", 2: "c"})
    tokenizer = minibert.AutoTokenizer.from_pretrained(folder)
    for pipe in (pipeline("text-classification", folder, config), pipeline(model=folder, config=config, tokenizer=tokenizer)):
        assert pipe(TEXT)[0]["label"] in "abc"


def test_a_model_that_is_loaded_takes_no_arguments_of_loading(folder):
    model, tokenizer = load_model(folder), minibert.AutoTokenizer.from_pretrained(folder)
    assert pipeline("text-classification", model, tokenizer=tokenizer, device=-1, torch_dtype="float32", device_map="auto")(
        TEXT
    )
    for options in ({"torch_dtype": "bfloat16"}, {"config": model.config}, {"model_kwargs": {"num_labels": 2}}):
        with pytest.raises(InputError, match="a model that is loaded already keeps"):
            pipeline("text-classification", model, tokenizer=tokenizer, **options)
