"""The panels that say what decided: the sum, the words, the changes, the matches of two texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .drawings import bar, colored_words, esc, number, score, signed, source, table

if TYPE_CHECKING:
    from .result import Explanation

PARTS = {
    "embeddings.words": "word embedding",
    "embeddings.positions": "position embedding",
    "embeddings.types": "token type embedding",
}
NOT_AN_EXPLANATION = (
    "Attention says where heads look, not what they do with what they find: a head may look at a token and carry nothing from it, and "
    "other weights can give the same answer. It is no explanation, and stands here so that you can see how far it is from one."
)


def choose_target(explanation: Explanation, name: str) -> str:
    """Radio buttons for which logit a panel shows."""
    if len(explanation.targets) == 1:
        return ""
    inputs = "".join(
        f'<label><input type="radio" name="{name}" data-target="{index}"{" checked" * (index == 0)}> {esc(target.label)}</label>'
        for index, target in enumerate(explanation.targets)
    )
    return f"<fieldset><legend>Explain the logit of</legend>{inputs}</fieldset>"


def grouped_parts(parts: list[str], values: np.ndarray) -> list[tuple[str, float, list[tuple[str, float]]]]:
    """One target's contributions (P,) -> the lines of the table: a name, its share, and the heads that it is made of."""
    lines: list[tuple[str, float, list[tuple[str, float]]]] = []
    biases = 0.0
    for name, value in zip(parts, values.tolist()):
        layer = int(name.split(".")[1]) + 1 if name.startswith("layer.") else 0
        if name in PARTS:
            lines.append((PARTS[name], value, []))
        elif ".head." in name:
            title = f"layer {layer}: attention"
            if not lines or lines[-1][0] != title:
                lines.append((title, 0.0, []))
            lines[-1][2].append((f"head {int(name.rpartition('.')[2]) + 1}", value))
            lines[-1] = (title, lines[-1][1] + value, lines[-1][2])
        elif name.endswith(".feed_forward"):
            lines.append((f"layer {layer}: feed-forward", value, []))
        else:
            biases += value
    return [*lines, ("all biases", biases, [])]


def sum_panel(explanation: Explanation) -> str:
    """The contributions as bars, for each target."""
    values, logits = explanation.array("contributions"), explanation.array("targets.logits")
    error = explanation.array("contributions.error")
    parts = [
        "<p>What a hidden state is in the end, it is by additions: the embeddings, then what each head and each feed-forward adds. If "
        "each norm's divisor and each activation's factor f(z)/z are held at the values that they have for this text, the logit is "
        "exactly the sum of what each part gives.</p>",
        choose_target(explanation, "sum-target"),
    ]
    for index, target in enumerate(explanation.targets):
        lines = grouped_parts(explanation.parts, values[index])
        largest = max(abs(value) for _, value, _ in lines)
        rows = "".join(
            f'<tr><th scope="row">{esc(name)}</th><td>{bar(value, largest)}</td><td class="number">{signed(value)}</td></tr>'
            for name, value, _ in lines
        )
        rows += (
            f'<tr class="total"><th scope="row">the sum, the logit of {esc(target.label)}</th><td></td>'
            f'<td class="number">{signed(float(values[index].sum()))}</td></tr>'
        )
        parts.append(
            f'<div data-target="{index}"><div class="scroll"><table class="sum"><caption>Contributions to the logit of '
            f'{esc(target.label)}</caption><thead><tr><th scope="col">part</th><th scope="col">takes away · adds</th>'
            f'<th scope="col">share</th></tr></thead><tbody>{rows}</tbody></table></div>'
            f'<p>The model says {number(float(logits[index]), 6)}; the sum differs from it by <span class="error">'
            f"{abs(float(error[index])):.1e}</span>.</p>{heads_table(lines)}</div>"
        )
    return "".join(parts) + source(explanation["contributions"].function)


def heads_table(lines: list[tuple[str, float, list[tuple[str, float]]]]) -> str:
    of_heads = [(name, heads) for name, _, heads in lines if heads]
    rows = [[esc(name), *(signed(value, 2) for _, value in heads)] for name, heads in of_heads]
    columns = ["", *(name for name, _ in of_heads[0][1])]
    return f"<details><summary>Each head by itself</summary>{table(columns, rows, 'Contributions of heads')}</details>"


def words_panel(explanation: Explanation) -> str:
    """Integrated gradients, leave-one-out and attention side by side, for each target."""
    words = explanation.words[0]
    names = [word.text for word in words]
    parts = [
        "<p>Blue words speak for the label, orange ones against it. Three answers to the same question, which need not agree.</p>",
        choose_target(explanation, "words-target"),
    ]
    for index, target in enumerate(explanation.targets):
        parts.append(f'<div data-target="{index}"><h3>Integrated gradients</h3>')
        if "integrated_gradients" in explanation:
            of_tokens = explanation.array("integrated_gradients")[index]
            values = [float(of_tokens[word.first : word.last].sum()) for word in words]
            parts.append(colored_words(names, values, f"Integrated gradients for {target.label}"))
            parts.append(gradients_sentence(explanation, index))
        else:
            parts.append(f"<p>Left out: {esc(explanation.notes['integrated_gradients'])}.</p>")
        parts.append("<h3>Leave one out</h3>")
        without = explanation.array("leave_one_out")[index].tolist()
        parts.append(colored_words(names, without, f"Leave one out for {target.label}"))
        parts.append("<p>How much the logit falls if the word is taken out of the text, and the model computes again.</p>")
        attention = explanation.array("attention")[index]
        shares = [float(attention[word.first : word.last].sum()) for word in words]
        parts.append("<h3>Attention</h3>")
        parts.append(colored_words(names, shares, f"Attention for {target.label}", unsigned=True))
        looks = esc(explanation.tokens[0][target.row])
        parts.append(
            f"<p>How much <bdi>{looks}</bdi> looks at the word, as a mean over all layers and heads. {NOT_AN_EXPLANATION}</p></div>"
        )
    functions = [name for name in ("integrated_gradients", "leave_one_out", "attention") if name in explanation]
    return "".join(parts) + source(*(explanation[name].function for name in functions))


def gradients_sentence(explanation: Explanation, index: int) -> str:
    difference = explanation.array("targets.logits")[index] - explanation.array("integrated_gradients.baseline")[index]
    error = explanation.array("integrated_gradients.error")[index]
    return (
        f"<p>The logit's gradient, summed along the way from a text of padding to this one in "
        f"{int(explanation.array('integrated_gradients.steps'))} steps. Shares should add up to the difference of the two logits, "
        f'{signed(float(difference))}; they miss it by <span class="completeness">{abs(float(error)):.1e}</span>.</p>'
    )


def changes_panel(explanation: Explanation) -> str:
    """Words replaced, each row computed by the model."""
    words, scores, targets = explanation.words[0], explanation.array("changes"), explanation.targets
    if not len(scores):
        return "<p>There is no word to change.</p>"
    rows = "".join(
        f'<tr data-word="{word}"><th scope="row"><bdi>{esc(words[word].text)}</bdi></th><td><bdi>{esc(text)}</bdi></td>'
        + "".join(
            f'<td class="{"best" * (value == max(own))}">{score(value, target)}</td>' for value, target in zip(own, targets)
        )
        + "</tr>"
        for (word, text), own in zip(explanation.changes, scores.tolist())
    )
    first = '<tr><th scope="row">(as it is)</th><td></td>' + "".join(
        f"<td>{score(value, target)}</td>" for value, target in zip(explanation.array("targets.scores").tolist(), targets)
    )
    options = "".join(
        f'<option value="{index}">{esc(words[index].text)}</option>'
        for index in dict.fromkeys(word for word, _ in explanation.changes)
    )
    columns = "".join(f'<th scope="col">{esc(target.label)}</th>' for target in targets)
    return (
        "<p>The words whose absence matters most, each with others in its place: the mask, and the words whose embeddings are nearest, "
        "or those that were named. Every row is a text that the model has read.</p>"
        '<p class="no-print"><label for="changed-word">Show changes of </label><select id="changed-word">'
        f'<option value="">all words</option>{options}</select></p>'
        '<div class="scroll" tabindex="0" role="region" aria-label="Changed words"><table><caption>Scores with a word changed</caption>'
        f'<thead><tr><th scope="col">word</th><th scope="col">in its place</th>{columns}</tr></thead><tbody>{first}</tr>{rows}'
        f"</tbody></table></div>{source(explanation['changes'].function)}"
    )


def matches_panel(explanation: Explanation) -> str:
    """The similarity of two texts as a table of pairs of tokens, and each word left out."""
    matches = explanation.array("matches")
    largest = float(np.abs(matches).max())
    rows = [
        [
            f"<bdi>{esc(token)}</bdi>",
            *(
                f'<span class="{"plus" if value >= 0 else "minus"}" style="--strength:{abs(value) / largest * 0.6:.3f}">'
                f"{signed(value * 100, 1)}</span>"
                for value in own
            ),
        ]
        for token, own in zip(explanation.tokens[0], matches.tolist())
    ]
    columns = ["", *(f"<bdi>{esc(token)}</bdi>" for token in explanation.tokens[1][: matches.shape[1]])]
    left_out = "".join(
        f"<h3>Leave one out of text {index + 1}</h3>"
        + colored_words(
            [word.text for word in words], explanation.array(f"leave_one_out.{index}").tolist(), f"Text {index + 1}"
        )
        for index, words in enumerate(explanation.words)
    )
    return (
        f"<p>Each text's vector is the mean of its tokens', so the cosine of the two is a sum over pairs of tokens. It is "
        f"<strong>{number(float(matches.sum()), 4)}</strong>; the table has each pair's share in hundredths.</p>"
        + table(columns, rows, "Shares of pairs of tokens, in hundredths", "matches")
        + "<p>Below, how much the similarity falls if a word is taken out.</p>"
        + left_out
        + source(explanation["matches"].function)
    )
