"""The vocabulary as a trie that splits words: a double array (Aoe, 1989), in which a step is one array access.

    from a node by a character       child = base of the node ^ the character's code
    whether there is such a child    nodes[child] has the code by which it is reached

The characters of the vocabulary have codes from 1 on; 0 is any other character. A node is one integer: that code,
whether a piece ends there, and its base, or 0 for a leaf.
"""

from __future__ import annotations

from ..compiler.jit import jit

WORD_ROOT, CONTINUATION_ROOT = 0, 1  # the nodes of the two roots: of pieces that begin a word, and of continuations
CODE_MASK = (1 << 21) - 1  # the bits of a node for the character's code
IS_PIECE = 1 << 21  # set if a piece ends here; its id is values[node]
BASE_SHIFT = 22  # the bits from here on are the base
ROOT_CODE = CODE_MASK  # a code that no character has
FREE = -1  # an unused entry
MAX_PROBES = 32  # failed attempts after which the next search begins further on


@jit()
def build(codes, bounds, ids, words, nodes, values, used, stack, labels):
    """Pieces sorted by their codes -> nodes (N,), values (N,). Piece i is codes[bounds[i] : bounds[i + 1]]; the first
    `words` pieces begin a word. All nodes are FREE at first, and nodes[WORD_ROOT] remains so if N is too small.

    Scratch: used (N,) uint8 of zeros, stack (len(codes) + 2, 4), labels (characters + 1, 2).
    """
    low, waiting = 2, 2
    nodes[WORD_ROOT], nodes[CONTINUATION_ROOT] = ROOT_CODE, ROOT_CODE
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = words, len(ids), 0, CONTINUATION_ROOT
    stack[1, 0], stack[1, 1], stack[1, 2], stack[1, 3] = 0, words, 0, WORD_ROOT
    while waiting:  # for each node: its pieces, its depth, and its index
        waiting -= 1
        first, last, depth, node = stack[waiting, 0], stack[waiting, 1], stack[waiting, 2], stack[waiting, 3]
        while first < last and bounds[first + 1] - bounds[first] == depth:
            if depth:
                nodes[node] |= IS_PIECE
                values[node] = ids[first]
            first += 1
        count = children(codes, bounds, first, last, depth, labels)
        if not count:
            continue
        base, low = find_base(nodes, used, labels, count, low)
        if not base:
            nodes[WORD_ROOT] = FREE
            return
        used[base] = 1
        nodes[node] |= base << BASE_SHIFT
        for index in range(count):
            child = base ^ labels[index, 0]
            nodes[child] = labels[index, 0]
            stack[waiting, 0], stack[waiting, 1] = labels[index, 1], labels[index + 1, 1]
            stack[waiting, 2], stack[waiting, 3] = depth + 1, child
            waiting += 1


@jit()
def children(codes, bounds, first, last, depth, labels):
    """The next codes of pieces first to last -> their number; labels: each code, and the first piece that has it."""
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
    """-> a base whose children for all the labels are free, or 0; and where the next search may begin.

    No two nodes have the same base: otherwise the children of one would be taken for those of the other.
    """
    while low < len(nodes) and nodes[low] != FREE:  # and will be so for all searches
        low += 1
    probes = 0
    for index in range(low, len(nodes)):
        if nodes[index] != FREE:
            continue
        base, label = index ^ labels[0, 0], 1
        if base and not used[base]:
            while label < count and nodes[base ^ labels[label, 0]] == FREE:
                label += 1
            if label == count:
                return base, index if probes > MAX_PROBES else low
        probes += 1
    return 0, low


@jit()
def longest_match(word, size, nodes, values, pieces, ends):
    """Greedy longest match first of word[:size], which are codes -> the number of pieces (`pieces`, `ends`); 0 if a part
    of the word matches none."""
    count, start, root = 0, 0, nodes[WORD_ROOT] >> BASE_SHIFT
    while start < size:
        base, position, end, match = root, start, -1, 0
        while base and position < size:
            child = base ^ word[position]
            node = nodes[child]
            if node & CODE_MASK != word[position]:
                break
            position += 1
            if node & IS_PIECE:
                end, match = position, child
            base = node >> BASE_SHIFT
        if end < 0:
            return 0
        pieces[count], ends[count] = values[match], end
        count, start, root = count + 1, end, nodes[CONTINUATION_ROOT] >> BASE_SHIFT
    return count
