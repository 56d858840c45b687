"""Twelve programs as users of sentence-transformers write them: with the import changed they print the same numbers.

Each is run as it stands with the original, and again with `sentence_transformers` replaced by
`minibert.sentence_transformers`. NAME is the folder of the trained model, with a classifier at random if the program has a
CrossEncoder; what a program leaves in `result` is compared.
"""

import numpy as np
import pytest
from programs import assert_same, run_program

from minibert import AutoTokenizer, BertForSequenceClassification, MinibertWarning

PROGRAMS = {
    "the quickstart": """
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(NAME)
sentences = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
embeddings = model.encode(sentences)
print(embeddings.shape)
similarities = model.similarity(embeddings, embeddings)
print(similarities)
result = [embeddings, similarities, model.similarity_pairwise(embeddings[:2], embeddings[1:]), model.similarity_fn_name]
""",
    "cosines of two lists": """
import torch
from sentence_transformers import SentenceTransformer, util

device = "cuda" if torch.cuda.is_available() else "cpu"
model = SentenceTransformer(NAME, device=device).to(device).eval()
sentences1 = ["The cat sits outside", "A man is playing guitar", "The new movie is awesome"]
sentences2 = ["The dog plays in the garden", "A woman watches TV", "The new movie is so great"]
embeddings1 = model.encode(sentences1, convert_to_tensor=True, show_progress_bar=False)
embeddings2 = model.encode(sentences2, convert_to_tensor=True, show_progress_bar=False)
cosine_scores = util.cos_sim(embeddings1, embeddings2)
for i in range(len(sentences1)):
    print(f"{sentences1[i]} | {sentences2[i]} | {cosine_scores[i][i].item():.4f}")
result = [cosine_scores, util.dot_score(embeddings1, embeddings2), util.pairwise_cos_sim(embeddings1, embeddings2)]
result += [isinstance(cosine_scores, torch.Tensor), embeddings1.device == model.device]
""",
    "semantic search": """
import torch
from sentence_transformers import SentenceTransformer, util

embedder = SentenceTransformer(NAME)
corpus = [
    "A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby.", "A man is riding a horse.",
    "A woman is playing violin.", "Two men pushed carts through the woods.", "A monkey is playing drums.",
]
corpus_embeddings = embedder.encode(corpus, convert_to_tensor=True)
queries = ["A man is eating pasta.", "Someone in a gorilla costume is playing a set of drums."]
result = []
for query in queries:
    query_embedding = embedder.encode(query, convert_to_tensor=True)
    scores = embedder.similarity(query_embedding, corpus_embeddings)[0]
    scores, indices = torch.topk(scores, k=5)
    result.append([scores, indices])
hits = util.semantic_search(embedder.encode(queries), embedder.encode(corpus), top_k=3)
for hit in hits[0]:
    print(corpus[hit["corpus_id"]], "(Score: {:.4f})".format(hit["score"]))
result.append(hits)
""",
    "clustering": """
import numpy as np
from sentence_transformers import SentenceTransformer
from sklearn.cluster import AgglomerativeClustering

embedder = SentenceTransformer(NAME)
corpus = [
    "A man is eating food.", "A man is eating a piece of bread.", "A man is eating pasta.", "A man is riding a horse.",
    "A man is riding a white horse on an enclosed ground.", "A monkey is playing drums.", "Someone plays a set of drums.",
]
corpus_embeddings = embedder.encode(corpus)
corpus_embeddings = corpus_embeddings / np.linalg.norm(corpus_embeddings, axis=1, keepdims=True)
clustering_model = AgglomerativeClustering(n_clusters=None, distance_threshold=1.2)
clustering_model.fit(corpus_embeddings)
result = clustering_model.labels_
""",
    "communities": """
from sentence_transformers import SentenceTransformer, util

model = SentenceTransformer(NAME, device="cpu")
subjects, verbs, objects = ["A man", "The chef", "My cat"], ["eats", "cooks", "wants"], ["pasta", "fish", "soup", "bread"]
sentences = [f"{subject} {verb} {thing}." for subject in subjects for verb in verbs for thing in objects]
embeddings = model.encode(sentences, batch_size=64, show_progress_bar=True, convert_to_tensor=True)
clusters = util.community_detection(embeddings, min_community_size=3, threshold=0.7)
for i, cluster in enumerate(clusters):
    print(f"Cluster {i + 1}, #{len(cluster)} elements", [sentences[id] for id in cluster[:3]])
result = [[cluster[0], sorted(cluster)] for cluster in clusters]
""",
    "paraphrases": """
from sentence_transformers import SentenceTransformer, util

model = SentenceTransformer(NAME)
sentences = ["The cat sits outside", "A man is playing guitar", "I love pasta", "The new movie is awesome",
             "The cat plays in the garden", "A woman watches TV", "The new movie is so great", "Do you like pizza?"]
paraphrases = util.paraphrase_mining(model, sentences)
for score, i, j in paraphrases[:5]:
    print(f"{sentences[i]} \\t {sentences[j]} \\t Score: {score:.4f}")
result = paraphrases[:10]
""",
    "prompts": """
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(NAME, prompts={"query": "query: ", "passage": "passage: "}, default_prompt_name="passage")
query = model.encode_query("What is the capital of France?")
documents = model.encode_document(["Paris is the capital of France.", "Berlin is in Germany."])
plain = model.encode(["Paris"], prompt="")
named = model.encode("Paris", prompt_name="query", normalize_embeddings=True)
result = [query, documents, plain, named, model.encode("Paris"), sorted(model.prompts.items()), model.default_prompt_name]
""",
    "truncated embeddings": """
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import cos_sim, truncate_embeddings

model = SentenceTransformer(NAME, truncate_dim=64, similarity_fn_name="dot")
embeddings = model.encode(["Who is Laurens?", "A scientist", "My dog"], normalize_embeddings=True)
with model.truncate_sentence_embeddings(truncate_dim=16):
    shorter = model.encode(["A scientist"])
result = [embeddings, shorter, cos_sim(embeddings[0], embeddings[1:]), truncate_embeddings(embeddings, 8)]
result += [model.get_sentence_embedding_dimension(), model.similarity(embeddings, embeddings)]
""",
    "quantized embeddings": """
from sentence_transformers import SentenceTransformer
from sentence_transformers.quantization import quantize_embeddings

model = SentenceTransformer(NAME)
corpus = [f"{animal} number {count}" for animal in ("Cat", "Dog", "Cow") for count in range(40)]
embeddings = model.encode(corpus)
queries = model.encode(["A cat", "A dog"])
int8 = quantize_embeddings(queries, precision="int8", calibration_embeddings=embeddings)
result = [int8, quantize_embeddings(embeddings, precision="uint8"), quantize_embeddings(queries, precision="binary")]
result += [model.encode(["A cat"], precision="ubinary"), str(int8.dtype), int8.nbytes]
""",
    "a saved model": """
import tempfile
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(NAME, trust_remote_code=True, model_kwargs={"attn_implementation": "eager"})
model.max_seq_length = 32
with tempfile.TemporaryDirectory() as folder:
    model.save_pretrained(folder)
    loaded = SentenceTransformer(folder, local_files_only=True)
    embeddings = loaded.encode(["A man is eating food. " * 20, "Short."], batch_size=1, convert_to_numpy=True)
result = [embeddings, loaded.max_seq_length, loaded.get_max_seq_length(), len(loaded.tokenizer), loaded.truncate_dim]
""",
    "a cross-encoder": """
import torch
from sentence_transformers import CrossEncoder

model = CrossEncoder(NAME, max_length=512, device="cuda" if torch.cuda.is_available() else "cpu")
query = "How many people live in Berlin?"
passages = [
    "Berlin is well known for its museums.",
    "Berlin had a population of 3,520,031 registered inhabitants in an area of 891.82 square kilometers.",
    "New York City is famous for the Metropolitan Museum of Art. " * 60,
]
scores = model.predict([(query, passage) for passage in passages], batch_size=2, show_progress_bar=False)
print(scores, type(scores))
ranks = model.rank(query, passages, return_documents=True, top_k=2)
for rank in ranks:
    print(f"{rank['score']:.2f}\\t{rank['text']:.60}")
logits = model.predict([[query, passages[0]]], activation_fn=torch.nn.Identity(), convert_to_tensor=True)
result = [scores, ranks, logits, logits.device.type, model.max_length, model.num_labels, model.config.hidden_size]
""",
    "retrieve and rerank": """
import tempfile
import numpy as np
from sentence_transformers import CrossEncoder, SentenceTransformer, util

bi_encoder = SentenceTransformer(NAME)
bi_encoder.max_seq_length = 256
cross_encoder = CrossEncoder(NAME, default_activation_function=None)
passages = ["A man is eating food.", "A man is riding a horse.", "A woman is playing violin.", "A monkey is playing drums.",
            "A man is eating a piece of bread.", "Two men pushed carts through the woods."]
corpus_embeddings = bi_encoder.encode(passages, convert_to_tensor=True, show_progress_bar=True)
question_embedding = bi_encoder.encode("What is the man eating?", convert_to_tensor=True)
hits = util.semantic_search(question_embedding, corpus_embeddings, top_k=4)[0]
cross_scores = cross_encoder.predict([["What is the man eating?", passages[hit["corpus_id"]]] for hit in hits])
for index, score in enumerate(cross_scores):
    hits[index]["cross-score"] = score
hits = sorted(hits, key=lambda hit: hit["cross-score"], reverse=True)
with tempfile.TemporaryDirectory() as folder:
    cross_encoder.save_pretrained(folder)
    again = CrossEncoder(folder, local_files_only=True).predict(("What is the man eating?", passages[0]))
print([(hit["corpus_id"], float(hit["cross-score"])) for hit in hits], again)
result = [[[hit["corpus_id"], hit["score"], hit["cross-score"]] for hit in hits], again, str(again.dtype)]
""",
}


@pytest.fixture(scope="module")
def cross_encoder(minilm, tmp_path_factory):
    """The trained model with a classifier of one label."""
    folder = tmp_path_factory.mktemp("cross-encoder")
    with pytest.warns(MinibertWarning, match="was not trained to classify"):
        BertForSequenceClassification.from_pretrained(minilm, num_labels=1).save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm).save_pretrained(folder)
    return folder


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("title", PROGRAMS)
def test_a_program_gives_the_same_with_its_import_changed(title, minilm, request, capsys):
    pytest.importorskip("sentence_transformers")
    program = PROGRAMS[title]
    folder = request.getfixturevalue("cross_encoder") if "CrossEncoder" in program else minilm
    theirs, printed = run_program(program, NAME=str(folder)), capsys.readouterr().out
    changed = program.replace("from sentence_transformers", "from minibert.sentence_transformers")
    ours = run_program(changed, NAME=str(folder))
    assert_same(ours, theirs)
    assert len(capsys.readouterr().out.splitlines()) == len(printed.splitlines()) or "print(similarities)" in program


def test_a_difference_in_a_result_is_seen():
    same = [np.ones(2, np.float32), {"score": 0.5}, "dot", None, 3]
    assert_same(same, same)
    for other in ([np.ones(2), *same[1:]], [np.ones(2, np.float32) + 2e-5, *same[1:]], [*same[:4], 4], same[:4]):
        with pytest.raises(AssertionError):
            assert_same(other, same)
