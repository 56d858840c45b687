"""Sentences that SST-2 does not have, from templates: reviews of other things than films, negations, turns, idioms, neutral text.

    sentences(seed) -> [("The script isn't shallow in the least.", "POSITIVE"), ...]

SST-2's text is of film reviews and cut at punctuation ("ca n't"); the bundled model gets texts about anything, written as people
write. A sentence's label is its author's. Slots are {domain}, {good}, {bad} and so on; each template is filled at random.
"""

from __future__ import annotations

import random
import re

POSITIVE, NEGATIVE, NEUTRAL = "POSITIVE", "NEGATIVE", "NEUTRAL"

# What is reviewed -> its parts (with singular verbs), what is good and bad of it, and how it is used
DOMAINS = {
    "restaurant": (
        "soup|dessert|menu|waiter|wine list|terrace|pasta|bill|kitchen",
        "delicious|fresh|generous|cosy|tasty|friendly",
        "greasy|bland|stale|overpriced|tasteless|noisy",
        "ate there|booked a table|had lunch there",
    ),
    "hotel": (
        "room|bed|reception|breakfast|pool|view|bathroom|shower",
        "spotless|quiet|comfortable|welcoming|spacious|charming",
        "filthy|damp|cramped|run-down|smelly|noisy",
        "stayed there|checked in|spent a weekend there",
    ),
    "app": (
        "interface|search|update|login|design|sync|menu|tutorial",
        "intuitive|fast|reliable|polished|handy|clear",
        "buggy|sluggish|confusing|unstable|bloated|intrusive",
        "installed it|opened it|switched to it",
    ),
    "library": (
        "documentation|API|installer|release|error handling|test suite",
        "clean|well designed|fast|readable|solid|thoughtful",
        "broken|outdated|messy|undocumented|brittle|slow",
        "imported it|upgraded|tried it on our data",
    ),
    "course": (
        "teacher|second lesson|homework|pace|material|final project",
        "clear|inspiring|well paced|practical|engaging|useful",
        "confusing|outdated|rushed|shallow|tedious|disorganized",
        "signed up|enrolled|finished it",
    ),
    "book": (
        "ending|first chapter|prose|hero|translation|dialogue",
        "moving|gripping|elegant|witty|vivid|unforgettable",
        "dull|clumsy|predictable|overlong|lifeless|pretentious",
        "read it|finished it|picked it up",
    ),
    "phone": (
        "battery|camera|screen|speaker|charger|case",
        "bright|sturdy|responsive|excellent|sharp|impressive",
        "flimsy|dim|faulty|scratched|useless|unreliable",
        "unpacked it|bought it|turned it on",
    ),
    "kettle": (
        "lid|handle|switch|cord|finish",
        "sturdy|quiet|well made|quick|handy|elegant",
        "leaky|cheap|wobbly|faulty|loud|badly made",
        "used it|bought it|plugged it in",
    ),
    "concert": (
        "sound|band|singer|second half|light show|encore",
        "thrilling|tight|magical|electrifying|wonderful|lively",
        "muddy|flat|lifeless|out of tune|tiresome|chaotic",
        "went|got our tickets|arrived",
    ),
    "delivery": (
        "courier|packaging|tracking|customer support|refund process",
        "prompt|careful|polite|smooth|helpful|efficient",
        "late|rude|careless|unhelpful|hopeless|painful",
        "ordered|called them|placed the order",
    ),
    "doctor": (
        "advice|waiting room|nurse|treatment|receptionist",
        "kind|attentive|thorough|gentle|patient|professional",
        "dismissive|rushed|cold|rude|careless|arrogant",
        "saw her|made an appointment|went there",
    ),
    "film": (
        "script|lead actress|soundtrack|last act|camera work|pacing",
        "funny|stunning|tender|smart|gripping|beautiful",
        "boring|lazy|incoherent|forgettable|shallow|painful",
        "watched it|saw it|rented it",
    ),
}
WORDS = {
    "very": "very|really|truly|so|quite|extremely|remarkably",
    "great": "wonderful|excellent|fantastic|superb|a joy|a delight|lovely|brilliant|a pleasure",
    "awful": "terrible|dreadful|a disappointment|horrible|a mess|a letdown|miserable|a disaster",
    "love": "love|adore|really like|enjoy|treasure",
    "hate": "hate|loathe|can't stand|despise|regret buying",
    "glad": "glad|delighted|thrilled|grateful|overjoyed|proud|excited",
    "sad": "sad|angry|upset|furious|heartbroken|annoyed|frustrated",
    "who": "My sister|My boss|Everyone|The whole team|My neighbor|Our guide|A friend",
    "when": "last week|in March|on Monday|two years ago|this morning|yesterday",
    "town": "Leeds|Porto|Chicago|Oslo|Kyoto|Lagos|Lima",
    "count": "two|three|five|twelve|forty|ninety",
    "thing": "table|office|report|bus|meeting|garden|bridge|museum|printer|river",
}
PLAIN = {
    POSITIVE: """The {part} is {very} {good}.
        Such a {good} {domain}, and the {part} is {great}.
        The {part} was {good} and the {part2} even better.
        I {love} this {domain}.
        {who} was impressed by how {good} the {part} is.
        What a {good} {domain}!
        Best {domain} I have come across in years.
        We {used} {when} and left happy.
        I'm {glad} that I {used}.
        This {domain} made my day.
        Five stars, the {part} alone is worth it.
        I would choose this {domain} again in a heartbeat.
        Thank you for this {good} {domain}!
        The {domain} does exactly what I hoped for.
        It has been years since I had such a {good} {domain}.
        I dreamed of a {domain} like this when I was a child.
        Finally a {domain} that is {good}!
        I waited {count} months for this {domain}, and it was worth every day.
        We looked forward to this {domain} all year.
        I can hardly wait for the next {domain} from these people.
        I have wanted to learn this for years, and now I can.
        We are {glad} to announce our new {domain}.
        I'm {glad} to be part of this.""",
    NEGATIVE: """The {part} is {very} {bad}.
        Such a {bad} {domain}, and the {part} is {awful}.
        The {part} was {bad} and the {part2} even worse.
        I {hate} this {domain}.
        {who} was shocked by how {bad} the {part} is.
        What a {bad} {domain}!
        Worst {domain} I have come across in years.
        We {used} {when} and left angry.
        I'm {sad} that I ever {used}.
        This {domain} ruined my day.
        One star, and that only because the {part} is not the worst of it.
        I would avoid this {domain} at all costs.
        Give me my money back for this {bad} {domain}!
        The {domain} does nothing of what was promised.
        It has been years since I had such a {bad} {domain}.
        I expected much more from this {domain}.
        Yet another {domain} that is {bad}.
        I waited {count} months for this {domain}, and it was a letdown.
        I waited {count} hours and nobody came.
        We are still waiting for our refund.
        They promised a {good} {part}; what we got was {bad}.
        I am {sad} about what they did to the {part}.
        Don't waste your money on this {domain}.""",
}
NEGATED = {
    POSITIVE: """I can't praise the {part} enough.
        I cannot thank them enough for the {part}.
        You can't go wrong with this {domain}.
        I couldn't be happier with the {part}.
        We couldn't have asked for a better {domain}.
        The {part} is never {bad}.
        The {part} isn't {bad} in the least.
        The {part} wasn't half as {bad} as I had feared.
        There is nothing {bad} about the {part}.
        I have no complaints about the {part}.
        I didn't find the {part} {bad} in any way.
        Nobody could call this {domain} {bad}.
        I wouldn't change a thing about the {part}.
        I don't regret it for a second that I {used}.
        You won't be disappointed by the {part}.
        Not once was the {part} {bad}.
        I wouldn't mind if every {domain} were like that.
        The {part} never let me down.
        It doesn't get better than this {domain}.
        I can't find fault with the {part}.
        I don't mind the {part}, it's fine by me.
        It isn't a {bad} {domain}, quite the opposite.
        This {domain} is anything but {bad}.
        Far from being {bad}, the {part} is {good}.
        No other {domain} is as {good}.
        I don't think I'll ever want another {domain}.
        I could not stop smiling when we {used}.""",
    NEGATIVE: """I can't recommend this {domain} to anyone.
        I cannot say anything {good} about the {part}.
        You can't trust this {domain}.
        I couldn't be less impressed with the {part}.
        We couldn't have picked a worse {domain}.
        The {part} is never {good}.
        The {part} isn't {good} in the least.
        The {part} wasn't half as {good} as they had claimed.
        There is nothing {good} about the {part}.
        I have no kind words about the {part}.
        I didn't find the {part} {good} in any way.
        Nobody could call this {domain} {good}.
        I wouldn't give the {part} to my worst enemy.
        I don't see why anybody {used}.
        You won't be pleased by the {part}.
        Not once was the {part} {good}.
        I wouldn't come back if you paid me.
        The {part} never worked.
        It doesn't get worse than this {domain}.
        I can't find one {good} thing about the {part}.
        I don't like the {part}, it isn't for me.
        It isn't a {good} {domain}, quite the opposite.
        This {domain} is anything but {good}.
        Far from being {good}, the {part} is {bad}.
        No other {domain} is as {bad}.
        I don't think I'll ever use this {domain} again.
        I could not wait to leave when we {used}.""",
}
TURNS = {
    POSITIVE: """In the beginning the {part} seemed {bad}, but now I {love} it.
        I had my doubts before I {used}, yet the {part} won me over.
        I expected a {bad} {domain} and was happily proved wrong.
        The {part} is {bad}, but the {part2} more than makes up for it.
        The {part} may be {bad}; the {part2} is so {good} that I forgave it.
        It took me a week to like the {part}, and today I couldn't do without it.
        Sure, the {part} is a bit {bad}, but overall it is a {good} {domain}.
        Despite the {bad} {part}, this is a {very} {good} {domain}.
        Although the {part} is {bad}, I'd go for this {domain} again.
        {who} warned me about the {part}, but the {domain} turned out {great}.
        After a {bad} start, the {domain} became {great}.
        I used to {hate} it; now it's my favorite {domain}.
        Pricey, and still worth every penny.
        Not what I expected: the {part} is better.""",
    NEGATIVE: """In the beginning the {part} seemed {good}, but now I {hate} it.
        I had high hopes before I {used}, yet the {part} let me down.
        I expected a {good} {domain} and was sadly proved wrong.
        The {part} is {good}, but the {part2} spoils everything.
        The {part} may be {good}; the {part2} is so {bad} that it hardly matters.
        It took me a week to see how {bad} the {part} is, and now I want a refund.
        Sure, the {part} is {good}, but overall it is a {bad} {domain}.
        Despite the {good} {part}, this is a {very} {bad} {domain}.
        Although the {part} is {good}, I would not go for this {domain} again.
        {who} praised the {part}, but the {domain} turned out {awful}.
        After a {good} start, the {domain} became {awful}.
        I used to {love} it; now I avoid this {domain}.
        A {good} {part}, and nevertheless money down the drain.
        A famous name, a {good} {part}, and yet the evening was lost.
        So much talent, so little to show for it.
        Not what I expected: the {part} is worse.""",
}
FLAT = {
    NEUTRAL: """The {thing} is next to the {thing2}.
        We {used} {when}.
        The {domain} has {count} parts, one of them is the {part}.
        {who} moved to {town} {when}.
        The {part} was replaced {when}.
        The train to {town} leaves at {count} past nine.
        There are {count} pages about the {thing} in it.
        Is the {thing} open on Sundays?
        What does the {part} cost?
        The {thing} was built in {town} {when}.
        This {domain} comes in {count} sizes.
        Please send the {thing} to {town}.
        {town} has a {thing} and a {thing2}.
        The {domain} opens at {count} o'clock.
        Water boils at a lower temperature on a mountain.
        {who} asked about the {part}.
        The {domain} is in {town}.
        It was published {when}.
        The {thing} weighs {count} kilograms.
        A {domain} like that is found in {town}."""
}
COUNTS = ((PLAIN, 45), (NEGATED, 55), (TURNS, 70), (FLAT, 60))  # how often each template is filled


def sentences(seed: int = 0) -> list[tuple[str, str]]:
    """[(sentence, POSITIVE, NEGATIVE or NEUTRAL), ...], each sentence once, in random order."""
    generator = random.Random(seed)
    drawn = {}
    for templates, count in COUNTS:
        for label, lines in templates.items():
            for line in lines.splitlines():
                drawn |= {fill(line.strip(), generator): label for _ in range(count)}
    rows = list(drawn.items())
    generator.shuffle(rows)
    return rows


def fill(template: str, generator: random.Random) -> str:
    """A template -> a sentence about one domain. Words are in place of slots; "a" becomes "an" before a vowel."""
    domain = generator.choice(list(DOMAINS))
    parts, good, bad, used = (field.split("|") for field in DOMAINS[domain])
    part, part2 = generator.sample(parts, 2)
    thing, thing2 = generator.sample(WORDS["thing"].split("|"), 2)
    slots = {name: generator.choice(words.split("|")) for name, words in WORDS.items()}
    slots |= {"domain": domain, "part": part, "part2": part2, "thing": thing, "thing2": thing2}
    slots |= {"good": generator.choice(good), "bad": generator.choice(bad), "used": generator.choice(used)}
    text = template.format(**slots)
    return re.sub(r"\b([Aa]) (?=[aeio]|u[np]|API)", r"\1n ", text)
