"""The vocabulary as a trie that cuts words: a double array (Aoe, 1989), where a step is one look into one array.

    from a node by a character       child = base of the node ^ the character's code
    whether there is such a child    nodes[child] says by which code it is reached

Characters are numbered from 1, as far as the vocabulary has them; 0 is any other. A node is one integer: that code,
whether a piece ends there, and its base, 0 where nothing follows: then there is no need to look further.
"""

from __future__ import annotations

from ..compiler.jit import jit

WORDS, INNER = 0, 1  # the places of the two roots: of pieces that begin a word, and of those that go on
CODE = (1 << 21) - 1  # the bits of a node for the character's code
PIECE = 1 << 21  # the bit that says that a piece ends here; its id is values[node]
BASE = 22  # the bits from here on are the base
ROOT = CODE  # a code that no character has
FREE = -1  # no node
PATIENCE = 32  # free places tried in vain before the next search begins further on


@jit()
def build(codes, bounds, ids, words, nodes, values, used, stack, labels):
    """Pieces in the order of their codes, piece i being codes[bounds[i] : bounds[i + 1]] and the first `words` of them
    those that begin a word -> nodes (N,), values (N,). They come FREE, and nodes[WORDS] stays so where N is too small.

    Room to work in: used (N,) uint8 of zeros, stack (len(codes) + 2, 4), labels (characters + 1, 2).
    """
    low, waiting = 2, 2
    nodes[WORDS], nodes[INNER] = ROOT, ROOT
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = words, len(ids), 0, INNER
    stack[1, 0], stack[1, 1], stack[1, 2], stack[1, 3] = 0, words, 0, WORDS
    while waiting:  # for each node: its pieces, how many characters led there, and its place
        waiting -= 1
        first, last, depth, node = stack[waiting, 0], stack[waiting, 1], stack[waiting, 2], stack[waiting, 3]
        while first < last and bounds[first + 1] - bounds[first] == depth:
            if depth:
                nodes[node] |= PIECE
                values[node] = ids[first]
            first += 1
        count = children(codes, bounds, first, last, depth, labels)
        if not count:
            continue
        base, low = find_base(nodes, used, labels, count, low)
        if not base:
            nodes[WORDS] = FREE
            return
        used[base] = 1
        nodes[node] |= base << BASE
        for index in range(count):
            child = base ^ labels[index, 0]
            nodes[child] = labels[index, 0]
            stack[waiting, 0], stack[waiting, 1] = labels[index, 1], labels[index + 1, 1]
            stack[waiting, 2], stack[waiting, 3] = depth + 1, child
            waiting += 1


@jit()
def children(codes, bounds, first, last, depth, labels):
    """The codes that come next in pieces first to last -> how many; labels: each, and the first piece that has it."""
    count = 0
    for piece in range(first, last):
        code = codes[bounds[piece] + depth]
        if not count or labels[count - 1, 0] != code:
            labels[count, 0], labels[count, 1] = code, piece
            count += 1
    labels[count, 1] = last
    return count


@jit()
def find_base(nodes, used, labels, count, low):
    """-> a base with room for all the labels, 0 where there is none; and where the next search may begin.

    No two nodes have one base: else a child of the one would be taken for the other's.
    """
    tried = 0
    for place in range(low, len(nodes)):
        base = place ^ labels[0, 0]
        if nodes[place] != FREE or not base or used[base]:
            continue
        index = 1
        while index < count and nodes[base ^ labels[index, 0]] == FREE:
            index += 1
        if index == count:
            return base, place if tried > PATIENCE else low
        tried += 1
    return 0, low


@jit()
def cut(word, size, nodes, values, pieces, ends):
    """Greedy longest match of word[:size], codes -> how many pieces (`pieces`, `ends`); 0 where one is not found."""
    count, start, root = 0, 0, nodes[WORDS] >> BASE
    while start < size:
        base, place, end, found = root, start, -1, 0
        while base and place < size:
            child = base ^ word[place]
            node = nodes[child]
            if node & CODE != word[place]:
                break
            place += 1
            if node & PIECE:
                end, found = place, child
            base = node >> BASE
        if end < 0:
            return 0
        pieces[count], ends[count] = values[found], end
        count, start, root = count + 1, end, nodes[INNER] >> BASE
    return count
