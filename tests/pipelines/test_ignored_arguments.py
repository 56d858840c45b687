"""What transformers takes and means nothing here: accepted without effect, or one error that says what to do instead."""

import json
import shutil

import numpy as np
import pytest
from checkpoints import make_checkpoint
from paths import ROOT

import minibert
from minibert import InputError, InputTypeError, MinibertWarning, WeightsError, pipeline
from minibert.ignored_arguments import DOWNLOADING, LOADING, PIPELINE, PIPELINE_CALLS, SAVING, TOKENIZER_LOADING
from minibert.loading import ARGUMENTS

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
    "code_revision": ([None, "main"], []),
    "use_flash_attention_2": ([None, False], [True]),
    "gguf_file": ([None], ["model.gguf"]),
    "tp_plan": ([None], ["auto"]),
    "device_mesh": ([None], ["mesh"]),
    "key_mapping": ([None], [{"a": "b"}]),
    "generation_config": ([None], [{}]),
    "adapter_kwargs": ([None], [{}]),
    "offload_folder": ([None, "folder"], []),
    "offload_buffers": ([True, False], []),
    "offload_state_dict": ([True, False], []),
    "max_memory": ([None, {0: "1GB"}], []),
    "use_fast": ([None, True, False], ["slow"]),
    "do_basic_tokenize": ([None, True], [False]),
    "never_split": ([None, [], ()], [["movie"]]),
    "tokenizer_type": ([None], ["bert"]),
    "from_slow": ([True, False], ["yes"]),
    "legacy": ([True, False], ["yes"]),
    "add_prefix_space": ([None, True, False], ["yes"]),
    "chat_template": ([None], ["{{ messages }}"]),
    "verbose": ([True, False], ["yes"]),
    "device": ([None, -1, "cpu", np.int64(-1)], [0, "cuda", "cuda:0", "mps"]),
    "framework": ([None, "pt"], ["tf"]),
    "num_workers": ([None, 0, 2], ["many"]),
    "feature_extractor": ([None], ["name"]),
    "image_processor": ([None], ["name"]),
    "processor": ([None], ["name"]),
    "video_processor": ([None], ["name"]),
    "modelcard": ([None, "card"], []),
    **{
        f"return_{name}": ([None, True, False], ["yes"])
        for name in ("attention_mask", "token_type_ids", "special_tokens_mask", "offsets_mapping", "length")
    },
    "args_parser": ([None], ["parser"]),
    "pipeline_class": ([None], [minibert.NerPipeline]),
    "clean_up_tokenization_spaces": ([None, True, False], ["yes"]),
    "binary_output": ([None, False], [True]),
    "push_to_hub": ([None, False], [True, "name"]),
    "safe_serialization": ([None, True], [False]),
    "max_shard_size": ([None, "1MB", 10**9], [True, [1]]),
    "is_main_process": ([None, True], [False]),
    "distributed_checkpoint": ([None, False], [True]),
    "save_peft_format": ([True, False], ["yes"]),
    "save_original_format": ([True, False], ["yes"]),
    "legacy_format": ([None, False], [True]),
    "filename_prefix": ([None], ["my"]),
    "save_function": ([None, print], []),
    "token": ([None, "hf_x", True], []),
    "repo_id": ([None, "owner/name"], []),
    "private": ([None, True], []),
    "commit_message": ([None, "text"], []),
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
    "calls of pipelines": (PIPELINE_CALLS, lambda folder, **options: pipeline(model=folder)(TEXT, **options)),
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


SAVED = {  # what has save_pretrained, of a model's folder
    "model": load_model,
    "configuration": minibert.AutoConfig.from_pretrained,
    "tokenizer": minibert.AutoTokenizer.from_pretrained,
    "pipeline": lambda folder: pipeline(model=folder),
}


@pytest.mark.parametrize("load", SAVED.values(), ids=SAVED)
def test_all_that_is_saved_takes_the_same_arguments(load, folder, tmp_path):
    saved = load(folder)

    def files(*arguments, **options):
        shutil.rmtree(tmp_path / "saved", ignore_errors=True)
        saved.save_pretrained(*arguments, **options)
        return {path.name: path.read_bytes() for path in (tmp_path / "saved").iterdir()}

    expected = files(tmp_path / "saved")
    assert files(save_directory=tmp_path / "saved") == files(folder=str(tmp_path / "saved")) == expected
    harmless = {name: VALUES[name][0][-1] for name in SAVING}
    assert files(tmp_path / "saved", **harmless) == expected
    for name in SAVING:
        for value in VALUES[name][0]:
            assert files(tmp_path / "saved", **{name: value}) == expected
        for value in VALUES[name][1]:
            with pytest.raises(InputError, match=f"^{name} must be .*; got .*[.] [A-Zm]"):
                saved.save_pretrained(tmp_path / "new", **{name: value})
    for arguments in ({}, {"save_directory": None}):
        with pytest.raises(InputTypeError, match="a folder is named by a string or a path; got NoneType"):
            saved.save_pretrained(**arguments)
    with pytest.raises(InputTypeError, match="'save_dir'.* Did you mean 'save_directory'"):
        saved.save_pretrained(save_dir=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_argument_that_nobody_knows_is_an_error_about_arguments(folder):
    for load in (load_model, minibert.AutoConfig.from_pretrained, minibert.AutoTokenizer.from_pretrained):
        with pytest.raises(InputTypeError, match="tensor_parallel"):
            load(folder, tensor_parallel=True)
    for load in (load_model, minibert.BertForSequenceClassification.from_pretrained):
        with pytest.raises(InputTypeError, match="got torch_dtpye. Did you mean 'torch_dtype'"):
            load(folder, torch_dtpye="auto")
        with pytest.raises(InputTypeError, match="got num_label. Did you mean 'num_labels'"):
            load(folder, num_label=2)
        for name in ("name", "checkpoint", "path", "self_"):
            with pytest.raises(InputTypeError, match=name):
                load(folder, **{name: 1})
    with pytest.raises(InputTypeError, match="'do_lowercase'.* Did you mean 'do_lower_case'"):
        minibert.BertTokenizer.from_pretrained(folder, do_lowercase=True)


def test_the_name_of_a_model_has_transformers_keyword(folder):
    for owner in ("AutoConfig", "BertConfig", "AutoTokenizer", "BertTokenizer", "AutoModel", "BertForSequenceClassification"):
        assert getattr(minibert, owner).from_pretrained(pretrained_model_name_or_path=folder)


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
    assert load_model(folder, dtype="float32", torch_dtype="auto").kernels.preset == "fast"
    with pytest.raises(InputError, match="torch_dtype is the former name of dtype; got both, and they differ"):
        load_model(folder, dtype="float32", torch_dtype="bfloat16")
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
    with pytest.raises(InputTypeError, match="add_pooling_layer is an argument of encoders without a head; BertForSeq"):
        minibert.AutoModelForSequenceClassification.from_pretrained(folder, add_pooling_layer=False)


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
    for wrong in ("../models/bert", "models//bert", 5, "models/../../x", "/", "a\0b", "\ud800"):
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
    harmless = {"config": model.config, "trust_remote_code": True, "subfolder": None, "use_auth_token": None, "kernels": "fast"}
    assert pipeline("text-classification", model, tokenizer=tokenizer, **harmless)(TEXT)
    assert pipeline("text-classification", model, minibert.AutoConfig.from_pretrained(folder), tokenizer)(TEXT)
    other = minibert.AutoConfig.from_pretrained(folder, id2label={0: "a", 1: "b", 2: "c"})
    wrong = ({"torch_dtype": "bfloat16"}, {"kernels": "int8"}, {"config": other}, {"model_kwargs": {"num_labels": 2}})
    for options in (*wrong, {"model_kwargs": {"add_pooling_layer": False}}):
        with pytest.raises(InputError, match="a model that is loaded already keeps"):
            pipeline("text-classification", model, tokenizer=tokenizer, **options)
    half = load_model(folder, torch_dtype="bfloat16")
    assert pipeline("text-classification", half, tokenizer=tokenizer, torch_dtype="bfloat16").model is half
    assert pipeline("text-classification", model, tokenizer=tokenizer, tokenizer_kwargs={"use_fast": True})(TEXT)
    with pytest.raises(InputTypeError, match="a tokenizer that is loaded already keeps its settings; got model_max_length"):
        pipeline("text-classification", model, tokenizer=tokenizer, tokenizer_kwargs={"model_max_length": 5})


def test_the_third_and_fourth_position_are_transformers_and_a_tokenizer_may_be_in_the_third(folder, tmp_path):
    config = minibert.AutoConfig.from_pretrained(folder, id2label={0: "a", 1: "b", 2: "c"})
    model, tokenizer = load_model(folder), minibert.AutoTokenizer.from_pretrained(folder, model_max_length=7)
    named = minibert.AutoTokenizer.from_pretrained(folder)
    named.save_pretrained(tmp_path / "tokenizer")
    for arguments in (
        (folder, config, tokenizer),
        (folder, None, tokenizer),
        (folder, tokenizer),
        (folder, str(folder), tokenizer),
        (model, tokenizer),
        (model, None, tokenizer),
    ):
        assert pipeline("text-classification", *arguments).tokenizer is tokenizer
    for arguments in ((folder, folder), (model, folder), (folder, config, str(folder)), (model, tmp_path / "tokenizer")):
        assert pipeline("text-classification", *arguments)(TEXT)[0]["score"] == pipeline(model=folder)(TEXT)[0]["score"]
    with pytest.raises(InputError, match="the third position is of a configuration.* Pass tokenizer=..., or config="):
        pipeline("text-classification", folder, tmp_path / "tokenizer")
    with pytest.raises(InputTypeError, match="config must be a PreTrainedConfig; got int"):
        pipeline("text-classification", folder, 5, tokenizer)
    with pytest.raises(InputTypeError, match="positional"):
        pipeline("text-classification", folder, config, tokenizer, None)


def test_a_tokenizer_may_come_with_its_arguments(folder):
    for arguments in ({"tokenizer": (str(folder), {"model_max_length": 5})}, {"tokenizer_kwargs": {"model_max_length": 5}}):
        assert pipeline("text-classification", folder, **arguments).tokenizer.model_max_length == 5
    with pytest.raises(InputError, match="model_max_length is an argument and in the pair too"):
        pipeline(model=folder, tokenizer=(folder, {"model_max_length": 5}), tokenizer_kwargs={"model_max_length": 5})


def test_options_of_the_tokenizers_calls_may_be_among_its_arguments(folder):
    cut = pipeline(model=folder, tokenizer_kwargs={"truncation": True, "max_length": 4, "verbose": False})
    assert cut(TEXT) == pipeline(model=folder)(TEXT, truncation=True, max_length=4) != pipeline(model=folder)(TEXT)
    with pytest.raises(InputError, match="truncation is an argument and in tokenizer_kwargs too"):
        pipeline(model=folder, truncation=False, tokenizer_kwargs={"truncation": True})


def test_model_kwargs_may_say_where_the_files_are_and_which_kernels_are_used(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "models" / "bert")
    arguments = {"subfolder": "models/bert", "cache_dir": tmp_path / "cache", "kernels": "reference", "local_files_only": True}
    pipe = pipeline("sentiment-analysis", tmp_path, model_kwargs=arguments)
    assert pipe.model.kernels.preset == "reference" and pipe.tokenizer
    with pytest.raises(InputError, match="cache_dir is an argument and in model_kwargs too"):
        pipeline("sentiment-analysis", tmp_path, cache_dir=tmp_path, model_kwargs=arguments)


def test_the_class_of_a_task_takes_what_pipeline_takes_of_a_loaded_model(folder, tmp_path):
    model, tokenizer = load_model(folder), minibert.AutoTokenizer.from_pretrained(folder)
    options = {"device": -1, "framework": "pt", "task": "sentiment-analysis", "torch_dtype": "auto", "batch_size": None}
    pipe = minibert.TextClassificationPipeline(model=model, tokenizer=tokenizer, top_k=None, **options)
    expected = pipeline(model=folder, top_k=None)(TEXT)
    assert pipe(TEXT) == expected == pipe(TEXT, num_workers=4, batch_size=None)
    assert str(pipe.device) == "cpu"
    pipe.save_pretrained(tmp_path / "saved")
    assert pipeline(model=tmp_path / "saved", top_k=None)(TEXT) == expected
    with pytest.raises(InputTypeError, match="the options are .*; got device. Pass device to pipeline\\(\\) instead"):
        pipe(TEXT, device="cpu")
    for wrong, message in (
        ({"device": 0}, "device must be"),
        ({"devce": 0}, "the options are .*; got devce. Did you mean 'device'"),
        ({"torch_dtype": "bfloat16"}, "already keeps"),
        ({"task": 5}, "task must be a task's name"),
        ({"topk": 2}, "the options are .*; got topk. Did you mean 'top_k'"),
    ):
        with pytest.raises(InputError, match=message):
            minibert.TextClassificationPipeline(model, tokenizer, **wrong)
    with pytest.raises(InputError, match="num_workers must be an integer"):
        pipe(TEXT, num_workers="many")
    with pytest.raises(InputTypeError, match="missing 1 required positional argument: 'tokenizer'"):
        minibert.TextClassificationPipeline(model)


# --- README ----------------------------------------------------------------------------------------------------------

README = (ROOT / "minibert" / "README.md").read_text(encoding="utf-8")
SECTION = README[README.index("## Code written for transformers\n") : README.index("## Code written for sentence-transformers")]
COLUMNS = {
    "every `from_pretrained`, pipelines": DOWNLOADING,
    "models, pipelines": LOADING,
    "tokenizers": TOKENIZER_LOADING,
    "pipelines and their calls": PIPELINE_CALLS,
    "pipelines": {name: argument for name, argument in PIPELINE.items() if name not in PIPELINE_CALLS},
    "every `save_pretrained`": SAVING,
}


def test_the_readmes_table_is_that_of_the_code():
    """Arguments with the same rule and fix share a row."""
    expected = []
    for where, table in COLUMNS.items():
        names = {}
        for name, argument in table.items():
            names.setdefault((argument.rule, argument.fix or "is never an error"), []).append(f"`{name}`")
        expected += [f"| {', '.join(same)} | {where} | {rule} | {fix} |" for (rule, fix), same in names.items()]
    rows = SECTION[SECTION.index("| argument | of | accepted") :].partition("\n\n")[0].splitlines()
    assert rows[2:] == expected


def test_the_readme_says_what_the_other_arguments_do():
    ignored = {*DOWNLOADING, *LOADING}
    table = SECTION[SECTION.index("| argument | of | what") :].partition("\n\n")[0]
    assert {name for name in ARGUMENTS if name not in ignored and f"`{name}`" not in table} == {"kernels", "strict"}  # our own
