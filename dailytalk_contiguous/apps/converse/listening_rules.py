"""A listener made of ten rules: repeats what a person says or feels, and asks. It never advises.

Reflective listening is Rogers' (1951, "Client-Centered Therapy"): repeat the message, above all the feeling, and
leave the next step to the speaker. That patterns and swapped pronouns go a long way is Weizenbaum's (1966, ELIZA).
It understands nothing, knows English only, and gives the same answer to the same conversation. Its purpose is to
try the loop without any download, and to test it; for real talk name a model (`--chat`).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

#: Words of the speaker in an answer, at most.
MOST_ECHOED_WORDS = 14

_FEELINGS = (
    "sad|unhappy|lonely|hopeless|disappointed|hurt|upset|angry|furious|annoyed|frustrated|afraid|scared|anxious|"
    "worried|nervous|stressed|ashamed|guilty|tired|exhausted|confused|happy|glad|excited|proud|relieved|grateful"
)


class ListeningRule(NamedTuple):
    """The answers to a pattern in a text of small letters; the first rule that matches counts.

    `replies` are taken in turn. `{echo}` becomes the pattern's group with its pronouns swapped.
    """

    pattern: str
    tag: str
    replies: tuple[str, ...]

    def reply(self, number: int, echo: str) -> str:
        return self.replies[number % len(self.replies)].format(echo=echo, Echo=echo[:1].upper() + echo[1:])


RULES = (
    ListeningRule(
        r"\b(?:kill(?:ing)? myself|suicid\w*|end (?:it all|my life)|"
        r"(?:hurt|harm|cut)(?:ting)? myself|want to die)\b",
        "soft tone",
        (
            "That is very heavy, and I am glad that you say it. I am only a small program, and this needs a "
            "person. If you are in danger, please call the emergency number. Who could be with you now?",
            "This matters too much to be told only to a program. Please call a crisis line, or somebody near you "
            "that you trust. Who could that be?",
        ),
    ),
    ListeningRule("^$", "calm", ("I am here. Take your time.", "There is no hurry. I am listening.")),
    ListeningRule(
        # No letter of English, or five words or more without a common one.
        r"^[^a-z]*[^\x00-\x7f][^a-z]*$|^(?!.*\b(?:i|i'm|you|he|she|it|it's|we|they|me|him|her|us|them|my|your|his|our|"
        r"their|this|that|these|those|a|an|the|and|or|but|so|if|because|when|what|who|where|why|how|is|am|are|was|were|"
        r"be|been|do|does|did|don't|have|has|had|not|no|yes|can|can't|could|will|would|should|to|of|in|on|at|for|with|"
        r"from|by|about|up|out|just|very|really|too|there|here|all|some|more|good|bad|today|now|feel|think|know|want|go|"
        r"got|like)\b)\S+(?: \S+){4}",
        "",
        (
            "I am sorry, I understand only English. Could you say it in English?",
            "That was not English to me. Could you try it once more?",
        ),
    ),
    ListeningRule(
        r"^(?:\w+ )?(?:good ?bye|bye|see you|good ?night|take care)\b",
        "calm",
        ("Goodbye. It was good to listen to you.", "Take care. I am here whenever you want to talk again."),
    ),
    ListeningRule(
        r"^(?:hello|hi|hey|good (?:morning|afternoon|evening))\b(?: there| you)?$",
        "calm",
        ("Hello. I am listening. How are you today?", "Hello again. What is on your mind?"),
    ),
    ListeningRule(
        r"\b(?:what should i|should i|help me|what do you think|who are you|are you a)\b",
        "curious",
        (
            "I am a small program. I can't tell you what to do, but I can listen. Which ways do you see yourself?",
            "If a good friend asked you this, what would you answer?",
        ),
    ),
    ListeningRule(
        rf"\b(?:i am|i'm|i was|i feel|i felt|makes me|made me)(?: feeling| so| very| really| a bit| just)* "
        rf"({_FEELINGS})\b",
        "soft tone",
        (
            "You feel {echo}. What brought it about?",
            "So you feel {echo}. Where do you notice it most?",
            "You say openly that you feel {echo}. What would you need now?",
        ),
    ),
    ListeningRule(
        r"\bi (?:really |just )?(?:can't|cannot|couldn't) (.+)",
        "soft tone",
        ("You can't {echo}. What is that like?", "That sounds hard. What happens when you try?"),
    ),
    ListeningRule(
        r"^((?:i|my|we|our|i'm|i've) .+)",
        "",
        ("{Echo}. How was that for you?", "So {echo}. Tell me more.", "{Echo}. And what happened next?"),
    ),
    ListeningRule(
        "",
        "",
        (
            "Tell me more about that.",
            "What was that like for you?",
            "What matters most to you in this?",
            "And how do you feel about it now?",
        ),
    ),
)

_SWAPPED = {
    "i": "you", "me": "you", "my": "your", "mine": "yours", "myself": "yourself", "am": "are", "i'm": "you're",
    "i've": "you've", "we": "you", "us": "you", "our": "your", "you": "me", "your": "my", "you're": "I'm",
}  # fmt: skip

_HEARD_LINE = re.compile(r"\[sounds ([a-z][a-z -]*?) \(confidence [0-9.]+\)[^\]\n]*\]")
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


def listen(turns: Sequence[tuple[str, str]]) -> str:
    """The listener's next answer, which may begin with a style tag in parentheses.

    Args:
        turns: role and content of each message, the last of the user; those of the system have no effect.

    >>> listen([("user", "My sister is late.\\n[sounds sad (confidence 0.71)]")])
    '(soft tone) You sound sad as you say that. Your sister is late. How was that for you?'
    """
    said = [content for role, content in turns if role == "assistant"]
    asked = [content for role, content in turns if role == "user"]
    heard = _HEARD_LINE.findall(asked[-1])
    earlier = _HEARD_LINE.findall(asked[-2]) if len(asked) > 1 else []
    words = [word.lower() for word in _WORD.findall(_HEARD_LINE.sub(" ", asked[-1]).replace("’", "'"))]
    for rule in RULES:
        match = re.search(rule.pattern, " ".join(words))
        echoed = match[1].split() if match and match.re.groups else []
        if match and len(echoed) <= MOST_ECHOED_WORDS and all(len(word) <= 20 for word in echoed):
            break
    echo = " ".join(_SWAPPED.get(word, word) for word in echoed)
    answer = rule.reply(len(said), echo)
    if said and said[-1].endswith(answer):
        answer = rule.reply(len(said) + 1, echo)
    tag = rule.tag
    if heard and heard != earlier and heard[-1] != "neutral":
        tag, answer = tag or "soft tone", f"You sound {heard[-1]} as you say that. {answer}"
    return f"({tag}) {answer}" if tag else answer
