"""One text's way through a model, number by number, and which of its words decided: `minibert.explain(pipe, text)`.

explain.py          a pipeline and a text -> an Explanation; put together from the files below
targets.py          each task's inputs, and the logits that are explained
words.py            text -> normalized -> words -> pieces, with the reason why a word was cut
readout.py          hidden states -> the logits and scores of the targets
contributions.py    a logit as a sum over embeddings, heads, feed-forwards and biases: exact
gradients.py        integrated gradients over the word embeddings
changes.py          leave one word out, or put another in its place, and compute again
norms.py            what each layer adds
similarity.py       the similarity of two texts as a sum over pairs of tokens
result.py           Explanation: the arrays by their names; to_json, to_html
page.py             the page, with page.css and page.js in it
"""
