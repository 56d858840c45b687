"""A text in many scripts, made from a seed: words of realistic lengths and frequencies, punctuation, emoji, digits.

    lines(3, seed=0)  ->  ["Жол нафте ...", "한국 ...", "😀 ..."]

The words mean nothing. What a tokenizer's speed depends on is real: how often a word comes again (Zipf's law), how long
it is, how many bytes its characters take, and how much is punctuation.
"""

import random
from bisect import bisect
from itertools import accumulate

# Script: (its letters, mean length of a word in characters, what stands between two words).
# fmt: off
SCRIPTS = {
    "latin": ("abcdefghijklmnoprstuvwz" "aeioutnrs" "aeio", 5.1, " "),
    "latin with accents": ("abcdefghijklmnoprstuvz" "éèàçüöäßñőűřšžčąęłıİøåæ" "aeioutn", 5.6, " "),
    "vietnamese": ("bcdghklmnpqrstvx" "ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữự" "aeiou", 3.3, " "),
    "greek": ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώ" "αειοντσ", 5.3, " "),
    "cyrillic": ("абвгдежзийклмнопрстуфхцчшщъыьэюяёїє" "аеиоонтс", 6.0, " "),
    "armenian": ("աբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆ", 6.2, " "),
    "georgian": ("აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ", 6.6, " "),
    "hebrew": ("אבגדהוזחטיכלמנסעפצקרשתםןץ", 4.6, " "),
    "arabic": ("ابتثجحخدذرزسشصضطظعغفقكلمنهويأإآةىئ" "الي" "َُِّ", 4.8, " "),
    "devanagari": ("अआइउएकखगघचछजटठडतथदधनपफबभमयरलवशषसह" "ािीुूेैोौ्ंक़" "ािे्", 5.0, " "),
    "bengali": ("অআইউএকখগচজটডতথদধনপফবভমযরলশষসহ" "ািীুূেো্ংড়", 5.1, " "),
    "tamil": ("அஆஇஉஎகஙசஞடணதநபமயரலவழளறன" "ாிீுூெேைொோ்" "்்", 7.8, " "),
    "thai": ("กขคงจชซดตถทนบปพฟมยรลวสหอ" "ะาิีึืุูเแโใไ่้็์", 24.0, " "),
    "hangul": ("가나다라마바사아자차카타파하고노도로모보소오조구누두루무부수우주은는이를에의한글국인있하지않", 3.1, " "),
    "chinese": ("的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生自会那后能对着事其里所去行过家十用发天如然作方成者多日都三小军二无同么经法当起与好看学进种将还分此心前面又定见只主没公从", 14.0, ""),
    "japanese": ("のにはをたがでてとしれさあるいもかなことよらりっまつくきうすそ" "アイウエカキクコサシスタテトナニノハフホマミメモラリルレロンガギグジダデドバビブパピプー" "日本人大年中国会生事自社者地業方新場員", 16.0, ""),
}
# fmt: on
ENDINGS = [",", ",", ",", ".", ".", ".", "!", "?", ":", ";", "…", "\u3002", "\u3001", "؟", "।"]
EMOJI = ["😀", "😂", "❤️", "👍🏽", "👩‍👩‍👧", "🇫🇷", "✨", "🎉"]
KINDS = 6000  # different words of a script; real texts of this size have some thousands


def lines(count, seed=0):
    """`count` lines, each of one script, of 3 to 20 words."""
    draw = random.Random(seed)
    vocabularies = {name: _vocabulary(draw, *SCRIPTS[name][:2]) for name in SCRIPTS}
    frequencies = list(accumulate(1 / rank for rank in range(1, KINDS + 1)))  # Zipf's law
    return [_line(draw, *draw.choice(list(vocabularies.items())), frequencies) for _ in range(count)]


def _vocabulary(draw, letters, mean):
    """Words; frequent ones come first and are shorter on average."""
    words = []
    for _ in range(KINDS):
        length = max(1, round(draw.gammavariate(3, mean / 3)))
        words.append("".join(draw.choices(letters, k=length)))
    return sorted(words, key=lambda word: len(word) + draw.random() * 4 * mean)


def _line(draw, name, words, frequencies):
    parts = []
    for _ in range(draw.randrange(3, 21)):
        word = words[bisect(frequencies, draw.random() * frequencies[-1])]
        chance = draw.random()
        if chance < 0.06:
            word = word.title()
        elif chance < 0.09:
            word = str(draw.randrange(10 ** draw.randrange(1, 5)))
        elif chance < 0.10:
            word = draw.choice(EMOJI)
        elif chance < 0.11:
            word = f"({word})" if chance < 0.105 else f"{word}-{draw.choice(words)}"
        parts.append(word + (draw.choice(ENDINGS) if draw.random() < 0.12 else ""))
    return SCRIPTS[name][2].join(parts)
