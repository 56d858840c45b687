"""The panels of a page, in the order of a text's way: each a name, a title and its HTML. What decided is in `evidence.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import evidence
from .drawings import esc, line_chart, number, score, source, table

if TYPE_CHECKING:
    from .result import Explanation

Panel = tuple[str, str, str]
TOKENIZATION = "minibert/tokenization/stages/"
PIECES = {  # the subword model -> how words become tokens, and the files of that
    "WordPiece": (
        "The text is normalized, split into words at blanks and punctuation, and each word is looked up in the vocabulary. "
        "A word that is not there is cut into the longest pieces that are.",
        ("normalizer.py", "pre_tokenizer.py", "wordpiece.py: longest_match"),
    ),
    "BPE": (
        "The text is split into words, each with the blank before it, which is written Ġ. A word is its bytes at first, each "
        "written as a character; then neighbors are merged, pair by pair, in the order of a list that was learned.",
        ("byte_level.py: ByteLevelPreTokenizer", "byte_level_bpe.py: ByteLevelBPE.merge"),
    ),
}


def panels(explanation: Explanation) -> list[Panel]:
    """The panels of an explanation; those of logits are left out where there are none."""
    first = [
        ("text", "From the text to pieces", text_panel(explanation)),
        ("ids", "From pieces to numbers", ids_panel(explanation)),
        ("embeddings", "Embeddings, added", embeddings_panel(explanation)),
        ("layers", "Layer by layer: who looks at whom", layers_panel(explanation)),
    ]
    if "matches" in explanation:
        return [*first, ("matches", "Which tokens match", evidence.matches_panel(explanation))]
    return [
        *first,
        ("lens", "What the model would say after each layer", lens_panel(explanation)),
        ("sum", "The logit is a sum", evidence.sum_panel(explanation)),
        ("softmax", "From logits to the answer", softmax_panel(explanation)),
        ("words", "Which words did it", evidence.words_panel(explanation)),
        ("changes", "Change a word", evidence.changes_panel(explanation)),
    ]


def text_panel(explanation: Explanation) -> str:
    parts = []
    for index, text in enumerate(explanation.texts):
        own = words_of_text(explanation, index)
        chips = "".join(
            f'<li><bdi>{esc(word.text)}</bdi> <small class="pieces">'
            + " ".join(f"<code>{esc(piece)}</code>" for piece in word.pieces)
            + "</small></li>"
            for word in own
        )
        reasons = "".join(f"<li>{esc(word.reason[0].upper() + word.reason[1:])}.</li>" for word in own if word.reason)
        parts.append(
            f"<h3>{'The text' if len(explanation.texts) == 1 else f'Text {index + 1}'}</h3>"
            f'<p dir="auto"><bdi>{esc(text)}</bdi></p>'
            f'<p>Normalized: <code class="normalized">{esc(explanation.normalized[index])}</code></p>'
            f'<ul class="words" aria-label="Words, and the pieces of each">{chips}</ul>'
            + (f"<p>Why words were cut:</p><ul>{reasons}</ul>" if reasons else "<p>Each word is a token as it is.</p>")
        )
    intro, files = PIECES[explanation.subword]
    return f"<p>{intro}</p>" + "".join(parts) + source(*(TOKENIZATION + file for file in files))


def words_of_text(explanation: Explanation, index: int) -> list:
    """The words of one of the texts: a row may hold two."""
    rows = explanation.words
    if len(rows) == len(explanation.texts):
        return rows[index]
    if index == len(explanation.texts) - 1 and len(rows) > 1:
        return rows[1]
    return [word for word in rows[0] if word.sequence == index]


def ids_panel(explanation: Explanation) -> str:
    """The ids and the mask; with a second text, the row padded, and the answer with and without the mask."""
    beside = "beside.input_ids" in explanation
    ids = explanation.array("beside.input_ids" if beside else "input_ids")
    mask = explanation.array("beside.attention_mask" if beside else "attention_mask")
    parts = [
        "<p>Each piece has a number, its row in the table of embeddings. The attention mask says which numbers are text (1) and "
        "which only fill the row (0).</p>"
    ]
    for index, (row, own) in enumerate(zip(ids, mask)):
        tokens = explanation.tokens[index]
        if len(tokens) < len(row):  # the first text alone, which here stands in a batch
            tokens = [*tokens, *["[PAD]"] * (len(row) - len(tokens))]
        classes = ["" if value else ' class="off"' for value in own]
        lines = [
            ["token", *(f"<span{css}><bdi>{esc(token)}</bdi></span>" for token, css in zip(tokens, classes))],
            ["input_ids", *(str(int(value)) for value in row)],
            ["attention_mask", *(str(int(value)) for value in own)],
        ]
        if not beside and "token_type_ids" in explanation:
            lines.append(["token_type_ids", *(str(int(value)) for value in explanation.array("token_type_ids")[index])])
        title = f"Row {index + 1} of {len(ids)}" if len(ids) > 1 else "The row"
        parts.append(table(["position", *map(str, range(len(row)))], lines, title, "ids"))
    if beside:
        parts.append(mask_table(explanation))
    return "".join(parts) + source(explanation["input_ids"].function)


def mask_table(explanation: Explanation) -> str:
    rows = [
        [
            esc(target.label),
            *(
                score(explanation.array(name)[index], target)
                for name in ("targets.scores", "beside.scores.with_mask", "beside.scores.without_mask")
            ),
        ]
        for index, target in enumerate(explanation.targets)
    ]
    padding = int((explanation.array("beside.attention_mask")[0] == 0).sum())
    sentence = (
        f"The first text is filled up with {padding} padding tokens. With the mask its answer is the same as alone; without it, "
        "padding is read as text, and changes the scores."
        if padding
        else "The first text is the longest of the two, so it needs no padding, and the mask changes nothing for it."
    )
    return f"<p>{sentence}</p>" + table(
        ["score of", "alone", "beside, with the mask", "beside, without"], rows, "The first text's scores"
    )


def shown_tokens(explanation: Explanation) -> list[str]:
    """The first row's tokens, without the padding behind them that a row beside a longer one has."""
    mask = explanation.array("attention_mask")[0]
    return explanation.tokens[0][: int(np.flatnonzero(mask).max(initial=0)) + 1]


def embeddings_panel(explanation: Explanation) -> str:
    """Each token's embeddings as colored strips, with the length of each."""
    labels = {"words": "word", "positions": "position", "types": "token type", "sum": "sum", "norm": "normalized"}
    names = [name for name in labels if f"embeddings.{name}" in explanation]
    rows = []
    for row, token in enumerate(shown_tokens(explanation)):
        cells = [
            f'<canvas class="strip" data-strip="{name}" data-row="{row}" aria-hidden="true"></canvas>'
            + number(float(np.linalg.norm(explanation.array(f"embeddings.{name}")[0, row])), 2)
            for name in names
        ]
        rows.append([f"<bdi>{esc(token)}</bdi>", *cells])
    width = explanation.array("embeddings.sum").shape[2]
    missing = "" if "types" in names else " (This family of models has no token types, so there are two.)"
    return (
        f"<p>A token starts as the sum of vectors of {width} numbers: one for the word, one for its position, one for which of "
        f"two texts it is in.{missing} The strips show the first {min(width, 24)} numbers, blue above zero and orange below; the "
        "number is the vector's length.</p>"
        + table(["token", *(labels[name] for name in names)], rows, "Embeddings of each token")
        + source(*(explanation[f"embeddings.{name}"].function for name in names))
    )


def layers_panel(explanation: Explanation) -> str:
    """The heads of each layer as small pictures, and a figure of the one that is chosen."""
    norms = explanation.array("norms")
    row = explanation.targets[0].row if explanation.targets else 0
    heads = explanation.array("layer.0.attention").shape[1]
    token = esc(explanation.tokens[0][row])
    parts = []
    for index, (before, attention, feed_forward) in enumerate(norms[:, :, row]):
        buttons = "".join(
            f'<button type="button" data-layer="{index}" data-head="{head}" aria-pressed="false" '
            f'aria-label="Layer {index + 1}, head {head + 1}"><canvas aria-hidden="true"></canvas>{head + 1}</button>'
            for head in range(heads)
        )
        parts.append(
            f'<div class="layer"><h3>Layer {index + 1}</h3><div class="heads">{buttons}</div>'
            f"<p>At <bdi>{token}</bdi>: a vector of length {number(before, 1)} comes in, attention adds one of "
            f"{number(attention, 1)}, the feed-forward one of {number(feed_forward, 1)}.</p></div>"
        )
    options = "".join(
        f'<option value="{index}">{index}: {esc(token)}</option>' for index, token in enumerate(shown_tokens(explanation))
    )
    figure = (
        '<figure id="head-figure"><p class="no-print"><label for="query">Token that looks: </label>'
        f'<select id="query">{options}</select></p><figcaption id="head-sentence" aria-live="polite"></figcaption>'
        '<div id="head-drawing"></div></figure>'
    )
    functions = [explanation[f"layer.0.{part}"].function for part in ("attention", "context", "attention_out")]
    return (
        "<p>Each picture is an attention head: a row for each token that looks, a column for each token that it looks at, darker for "
        "more. Choose one to see it below.</p>" + "".join(parts) + figure + source(*functions, explanation["norms"].function)
    )


def lens_panel(explanation: Explanation) -> str:
    scores, targets = explanation.array("layer_scores"), explanation.targets
    names = [target.label for target in targets]
    points = ["start", *(str(layer) for layer in range(1, len(scores)))]
    rows = [
        [f"layer {point}" if index else "the embeddings", *map(score, scores[index], targets)]
        for index, point in enumerate(points)
    ]
    is_share = all(target.score != "none" for target in targets)
    chart = line_chart(scores, names, points, "Scores after each layer") if is_share else ""
    read = " and ".join(f"<bdi>{esc(explanation.tokens[0][row])}</bdi>" for row in dict.fromkeys(t.row for t in targets))
    return (
        f"<p>The model's head reads the hidden state of {read} after the last layer. Here it reads that of each layer too, as if the "
        "model ended there: early answers are mostly chance, and one sees where the answer is decided.</p>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Chart of scores">{chart}</div>'
        + table(["after", *map(esc, names)], rows, "Scores after each layer")
        + source(explanation["layer_scores"].function)
    )


def softmax_panel(explanation: Explanation) -> str:
    logits, scores = explanation.array("targets.logits"), explanation.array("targets.scores")
    sentences = {
        "softmax": "Softmax makes probabilities of logits: e to the power of each, over the sum of them all. It is taken over all "
        "outputs of the model, of which the table shows those that are explained.",
        "softmax over tokens": "Softmax makes probabilities of logits: e to the power of each, over the sum of those of all tokens.",
        "sigmoid": "The sigmoid 1 / (1 + e⁻ˣ) makes a score of each logit by itself.",
        "none": "The logit is the answer itself.",
    }
    rows = [
        [esc(target.label), number(logit), number(float(np.exp(logit))), score(value, target)]
        for target, logit, value in zip(explanation.targets, logits, scores)
    ]
    return (
        f"<p>{sentences[explanation.targets[0].score]}</p>"
        + table(["output", "logit", "e to its power", "score"], rows, "Logits and scores")
        + f'<p>The answer: <strong id="answer">{esc(explanation.answer)}</strong>.</p>'
        + source("kernels/reference.py: softmax", explanation["targets.scores"].function)
    )
