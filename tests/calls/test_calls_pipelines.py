"""Ten programs as users of transformers' pipelines write them: with the import changed they print the same answers.

Each is run as it stands with transformers, and again with `transformers` replaced by `minibert`. SENTIMENT is the folder of
the bundled, trained model; NER, MASKED, ENTAILMENT, ENCODER and ANSWERS are of small ones at random. What a program leaves
in `result` is compared. transformers has no pipeline for question answering since 5.3: that program is compared with one that
finds the answer with its model.
"""

import re

import numpy as np
import pytest
from checkpoints import make_checkpoint

import minibert

torch = pytest.importorskip("torch", reason="parity needs torch: pip install -e '.[test]'")
pytest.importorskip("transformers", reason="parity needs transformers: pip install -e '.[test]'")
pytestmark = pytest.mark.parity

TOLERANCE = 1e-5
PROGRAMS = {
    "a first classifier": """
from transformers import pipeline

classifier = pipeline("sentiment-analysis", model=SENTIMENT, device=-1)
result = classifier("We are very happy to show you the library.")
print(result)
results = classifier(["We are very happy to show you the library.", "We hope you don't hate it."])
for answer in results:
    print(f"label: {answer['label']}, with score: {round(answer['score'], 4)}")
result = [result, results]
""",
    "a loaded model on whatever device there is": """
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
tokenizer = AutoTokenizer.from_pretrained(SENTIMENT, use_fast=True, model_max_length=64)
model = AutoModelForSequenceClassification.from_pretrained(SENTIMENT, torch_dtype=torch.float32, attn_implementation="eager")
pipe = pipeline("text-classification", model=model, tokenizer=tokenizer, device=device, top_k=None, torch_dtype="auto")
scores = pipe("A gripping, funny film.")
print({score["label"]: score["score"] for score in scores[0]})
result = [scores, pipe.device == device, pipe.tokenizer.model_max_length, pipe.model.config.id2label]
""",
    "many texts in batches": """
from transformers import pipeline

pipe = pipeline(
    task="text-classification", model=SENTIMENT, tokenizer=SENTIMENT, device="cpu", batch_size=4, use_fast=True,
    truncation=True, max_length=16, padding=True, num_workers=0, model_kwargs={"low_cpu_mem_usage": False},
)

def texts():
    for count in range(10):
        yield "It is a good film. " * count + "No, it is not."

result = [answer for answer in pipe(texts(), batch_size=2)]
result.append(pipe(list(texts()), batch_size=8, num_workers=0))
print(len(result), "answers")
""",
    "the best labels of pairs": """
from transformers import DistilBertForSequenceClassification, DistilBertTokenizerFast, TextClassificationPipeline, logging

logging.set_verbosity_error()
model = DistilBertForSequenceClassification.from_pretrained(
    SENTIMENT, ignore_mismatched_sizes=False, use_safetensors=True, low_cpu_mem_usage=True
)
tokenizer = DistilBertTokenizerFast.from_pretrained(SENTIMENT, do_lower_case=True, clean_up_tokenization_spaces=False)
pipe = TextClassificationPipeline(model=model, tokenizer=tokenizer, task="sentiment-analysis", device=-1)
pair = {"text": "The plot makes sense.", "text_pair": "It bored me."}
result = [pipe(pair), pipe([pair, pair], top_k=2), pipe("I like it", function_to_apply="sigmoid"), pipe("Dull", top_k=1)]
result.append(pipe("Two hours " * 400, truncation=True, max_length=32))
logging.set_verbosity_warning()
""",
    "entities in groups": """
from transformers import pipeline

ner = pipeline("ner", model=NER, tokenizer=NER, aggregation_strategy="simple", device_map="auto")
text = "This movie is a great film, I love this course. It was very bad!"
result = [ner(text)]
for entity in result[0]:
    print(entity["entity_group"], text[entity["start"] : entity["end"]], f"{entity['score']:.3f}")
for strategy in ("first", "average", "max"):
    result.append(ner([text, "a dull life"], aggregation_strategy=strategy, batch_size=2))
""",
    "the tags of tokens": """
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

tokenizer = AutoTokenizer.from_pretrained(NER)
model = AutoModelForTokenClassification.from_pretrained(NER, trust_remote_code=False, device_map=None)
nlp = pipeline("token-classification", model=model, tokenizer=tokenizer, ignore_labels=[], device="cpu")
example = "The film was not good, it is waiting."
ner_results = nlp(example)
print(ner_results)
result = [ner_results, [(token["word"], token["entity"]) for token in ner_results]]
""",
    "words that fit": """
from transformers import pipeline

unmasker = pipeline("fill-mask", model=MASKED, top_k=3, tokenizer_kwargs={"truncation": True})
mask = unmasker.tokenizer.mask_token
result = [unmasker(f"This {mask} is very good."), unmasker(f"this {mask} was {mask}.", top_k=2)]
result.append(unmasker([f"The movie is {mask}.", f"a {mask} film"], targets=["good", "bad", "dull"], top_k=2))
for answer in result[0]:
    print(answer["token_str"], round(answer["score"], 3))
""",
    "labels of one's own": """
from transformers import pipeline

classifier = pipeline("zero-shot-classification", model=ENTAILMENT, device="cpu", torch_dtype="float32")
sequence = "this movie is about life, love and hate"
labels = ["love", "life", "course"]
one = classifier(sequence, candidate_labels=labels)
several = classifier(sequence, labels, multi_label=True, hypothesis_template="this is {}.")
print(one["labels"][0], several["scores"])
result = [one, several, classifier([sequence, "a bad film"], candidate_labels="good, bad")]
""",
    "features": """
import numpy as np
from transformers import AutoModel, AutoTokenizer, pipeline

model = AutoModel.from_pretrained(ENCODER, add_pooling_layer=False)
tokenizer = AutoTokenizer.from_pretrained(ENCODER)
extractor = pipeline(task="feature-extraction", model=model, tokenizer=tokenizer, framework=None, tokenize_kwargs={"truncation": True})
sentences = ["this is a good movie", "a dull film!"]
features = extractor(sentences)
embeddings = np.array([np.mean(rows[0], axis=0) for rows in features])
print(embeddings.shape)
tensor = extractor(sentences[0], return_tensors="pt")
result = [features, embeddings, type(tensor).__module__, tensor.mean(dim=1)]
""",
    "an answer in a text": """
from transformers import pipeline

question_answerer = pipeline("question-answering", model=ANSWERS, tokenizer=ANSWERS, device=-1)
answer = question_answerer(question=QUESTION, context=CONTEXT)
print(f"Answer: '{answer['answer']}', score: {round(answer['score'], 4)}, start: {answer['start']}, end: {answer['end']}")
result = [answer["answer"], answer["start"], answer["end"], answer["score"]]
""",
}
WITH_A_MODEL = """
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(ANSWERS)
model = AutoModelForQuestionAnswering.from_pretrained(ANSWERS)
inputs = tokenizer(QUESTION, CONTEXT, return_tensors="pt", return_offsets_mapping=True)
offsets = inputs.pop("offset_mapping")[0].tolist()
is_context = torch.tensor([part == 1 for part in inputs.sequence_ids()])
may_answer = is_context | (inputs["input_ids"][0] == tokenizer.cls_token_id)  # [CLS]: there is no answer
with torch.no_grad():
    outputs = model(**inputs)
starts, ends = (
    torch.softmax(torch.where(may_answer, logits[0], -torch.inf), 0) * is_context for logits in (outputs.start_logits, outputs.end_logits)
)
spans = torch.outer(starts, ends).triu().tril(14)
start, end = divmod(int(spans.argmax()), len(ends))
first, last = offsets[start][0], offsets[end][1]
print(CONTEXT[first:last])
result = [CONTEXT[first:last], first, last, float(spans.max())]
"""
TAGS = dict(enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]))
VERDICTS = {0: "contradiction", 1: "neutral", 2: "entailment"}


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """The names that programs use and do not define."""
    sentiment = tmp_path_factory.mktemp("sentiment")
    minibert.pipeline(model="minibert-sst2", kernels="fast").save_pretrained(sentiment)  # floats, for transformers

    def folder(head, **changes):
        sizes = {"max_position_embeddings": 64, **changes}
        return str(make_checkpoint(tmp_path_factory.mktemp(head), "bert", head, **sizes))

    return {
        "SENTIMENT": str(sentiment),
        "NER": folder("ForTokenClassification", id2label=TAGS),
        "MASKED": folder("ForMaskedLM"),
        "ENTAILMENT": folder("ForSequenceClassification", id2label=VERDICTS),
        "ENCODER": folder("Model"),
        "ANSWERS": folder("ForQuestionAnswering"),
        "QUESTION": "was the movie good?",
        "CONTEXT": "I was not waiting. This movie is very good, and the film was dull!",
    }


def run(program, names):
    variables = {**names, "__name__": "program"}
    exec(compile(program, "<program>", "exec"), variables)
    return variables["result"]


def assert_same(ours, theirs, path="result"):
    if isinstance(theirs, (list, tuple)):
        assert type(ours) is type(theirs) and len(ours) == len(theirs), path
        for index, pair in enumerate(zip(ours, theirs)):
            assert_same(*pair, f"{path}[{index}]")
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs), path
        for key in theirs:
            assert_same(ours[key], theirs[key], f"{path}[{key!r}]")
    elif isinstance(theirs, (float, np.floating, np.ndarray, torch.Tensor)):
        assert np.shape(ours) == np.shape(theirs), path
        assert np.allclose(np.asarray(ours), np.asarray(theirs), rtol=0, atol=TOLERANCE), path
    else:
        assert ours == theirs, path


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*is no token; .*stands for it:minibert.MinibertWarning")
@pytest.mark.parametrize("title", PROGRAMS)
def test_a_program_gives_the_same_with_its_import_changed(title, names, capsys):
    program = PROGRAMS[title]
    theirs, printed = run(WITH_A_MODEL if "question-answering" in program else program, names), capsys.readouterr().out
    ours = run(re.sub(r"\bfrom transformers\b", "from minibert", program), names)
    assert_same(ours, theirs)
    assert len(capsys.readouterr().out.splitlines()) == len(printed.splitlines())


def test_a_difference_in_a_result_is_seen():
    same = [{"label": "POS", "score": 0.5}, np.ones(2), "dot", None, 3, torch.ones(1)]
    assert_same(same, same)
    others = ({"label": "NEG", "score": 0.5}, {"score": 0.5, "label": "POS"}, {"label": "POS", "score": 0.6}, ["POS", 0.5])
    for other in (
        *([other, *same[1:]] for other in others),
        [same[0], np.ones(3), *same[2:]],
        [*same[:4], 4, same[5]],
        same[:5],
    ):
        with pytest.raises(AssertionError):
            assert_same(other, same)
