"""A listener made of rules: repeats a person's words and their feeling, and asks. It never advises.

Reflective listening is Rogers' (1951, "Client-Centered Therapy"): repeat the message, above all the feeling, and
leave the next step to the speaker. That patterns and swapped pronouns go a long way is Weizenbaum's (1966, ELIZA).
The rules and words here are our own. It understands nothing, knows English only, and gives the same answer to the
same conversation. Its purpose is to try the loop without any download, and to test it.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from dailytalk_contiguous.core.sentences import AUXILIARIES, ends_as_question, sounds_like_question, word_set

#: Words of the speaker in an answer, at most.
MOST_ECHOED_WORDS = 14

#: A text of at least this many words without a common English one is in another language.
KNOWN_FROM = 5


#: Words for feelings by the class of emotion that they are near to.
FEELINGS = {
    "sad": word_set(
        "sad unhappy down low miserable depressed lonely alone heartbroken hopeless empty gloomy disappointed "
        "hurt lost homesick upset terrible awful horrible bad"
    ),
    "angry": word_set("angry mad furious annoyed irritated frustrated cross bitter jealous resentful"),
    "fearful": word_set(
        "afraid scared frightened anxious worried nervous stressed tense panicked overwhelmed insecure uneasy "
        "terrified"
    ),
    "happy": word_set(
        "happy glad excited proud relieved grateful thankful cheerful delighted thrilled hopeful lucky pleased"
    ),
    "calm": word_set("calm relaxed peaceful content fine okay ok alright good great well better"),
    "ashamed": word_set("ashamed guilty embarrassed stupid useless worthless"),
    "tired": word_set("tired exhausted drained weary sleepy bored"),
    "unsure": word_set("confused unsure uncertain torn stuck"),
    "surprised": word_set("surprised shocked amazed stunned"),
    "disgusted": word_set("disgusted appalled"),
}

#: Words for a class of emotion that was recognised in the voice.
HEARD = {
    "sad": "sad", "angry": "angry", "fearful": "a little anxious", "happy": "happy", "surprised": "surprised",
    "disgusted": "put off", "calm": "calm",
}  # fmt: skip

#: Style tags for answers to a feeling, out of those that a reply may have.
TAGS = {"happy": "happy", "surprised": "curious", "sad": "soft tone", "ashamed": "soft tone", "tired": "soft tone"}

#: Which of `FEELING_REPLIES` a class has; others are heavy.
_WEIGHTS = {"happy": "bright", "surprised": "bright", "calm": "even"}


class ListeningRule(NamedTuple):
    """The answers to a pattern in a text of small letters; the first rule that matches counts.

    `replies` are taken in turn. `{echo}` becomes the pattern's group with its pronouns swapped.
    """

    name: str
    pattern: str
    tag: str
    replies: tuple[str, ...]


#: The rules before feelings.
FIRST_RULES = (
    ListeningRule(
        "clear",
        r"^(please )?(clear|reset|start (over|afresh|again)|forget (everything|that|it all))( please)?$",
        "",
        (
            "All right, we start afresh. What is on your mind?",
            "Good, that is gone. What would you like to talk about?",
        ),
    ),
    ListeningRule(
        "danger",
        r"\b(kill(ing)? myself|suicid\w*|end (it all|my life)|(hurt|harm|cut)(ting|ing)? myself|"
        r"wan(t to|na) die)\b",
        "soft tone",
        (
            "That is very heavy, and I am glad that you say it. I am only a small program, and this needs a "
            "person. If you are in danger, please call the emergency number. Who could be with you now?",
            "I hear how bad it is. I am a program and can't be there for you as a person can. A crisis line can, "
            "at any hour. Who can you call right now?",
            "This matters too much to be told only to a program. Please call a crisis line, or somebody near you "
            "that you trust. Who could that be?",
        ),
    ),
    ListeningRule(
        "goodbye",
        r"^(\w+ )?(good ?bye|bye|see you|good ?night|talk to you later|take care)\b|"
        r"^(\w+ )?(i (have|need|got)|i've got) to go( now)?$|\bthat's all( for \w+)?$",
        "calm",
        (
            "Goodbye. It was good to listen to you.",
            "Take care. I am here whenever you want to talk again.",
            "Until next time. Thank you for telling me all this.",
        ),
    ),
    ListeningRule(
        "wellbeing of the listener",
        r"\bhow (are|do) you( doing| feel| feeling)?( today| now)?$",
        "",
        (
            "I am a program, so I have no good or bad days. How is yours?",
            "There is not much to tell of me. How are you, really?",
            "Nothing new here. What is new with you?",
        ),
    ),
    ListeningRule(
        "greeting",
        r"^(hello|hi|hey|good (morning|afternoon|evening)|greetings|is anybody there|can you hear me)"
        r"( there| again| you)?$",
        "calm",
        (
            "Hello. I am listening. How are you today?",
            "Hello again. What is on your mind?",
            "I can hear you. What would you like to talk about?",
        ),
    ),
    ListeningRule(
        "thanks",
        r"^(thanks|thank you|many thanks)\b",
        "",
        (
            "You are welcome. Is there more that you want to say?",
            "I am glad to listen. What else is on your mind?",
            "That is kind. How do you feel now?",
        ),
    ),
    ListeningRule(
        "who",
        r"\b((who|what) are you|are you (a |an |really )?(robot|machine|human|real|person|computer|program|ai)|"
        r"your name|who am i talking to)\b",
        "",
        (
            "I am a small program that listens. I have no name and no opinions. What would you like to tell me?",
            "Only a few rules that listen to you. Does that make it easier to talk, or harder?",
            "A program, nothing more. What made you think of that?",
        ),
    ),
    ListeningRule(
        "advice",
        r"\b(what (should|shall|would|can|could) (i|you|we) (do|say|try)|should i|shall i|give me (some )?advice|"
        r"(can|could|will) you help|help me|tell me what|what do you think|what would you)\b",
        "curious",
        (
            "I can't tell you what to do, but I can listen. Which ways do you see yourself?",
            "What does your own feeling say?",
            "If a good friend asked you this, what would you answer?",
            "What would have to change for this to feel better?",
        ),
    ),
)

#: The rules after feelings in words.
NEXT_RULES = (
    ListeningRule(
        "loss",
        r"\b(died|passed away|funeral|(my|our) late|is dead|broke up|left me|divorce\w*|miscarriage)\b",
        "soft tone",
        (
            "That is a great loss. What do you miss most?",
            "I am sorry. How has it been for you since then?",
            "That leaves an empty place. What is it like now?",
        ),
    ),
    ListeningRule(
        "poorly",
        r"^(not (so|very|too|that|really) (good|well|great)|(quite |really |pretty )?(bad|badly|awful|terrible)|"
        r"so so|(it )?could be better)( today)?$",
        "soft tone",
        (
            "That does not sound like an easy day. What is it?",
            "Not so well, then. What has happened?",
            "I am sorry to hear that. What weighs on you?",
        ),
    ),
    ListeningRule(
        "not knowing",
        r"^(well )?(i (really )?(don't|do not) know|no idea|(i'm )?not sure|i guess|maybe|perhaps)( so| really)?$",
        "",
        (
            "That is all right. We don't have to know yet. What comes first when you think of it?",
            "You are not sure. Which part is clear, and which is not?",
            "It may take some time. What makes it hard to say?",
        ),
    ),
    ListeningRule(
        "assent",
        r"^(yes|yeah|yep|yup|sure|of course|right|exactly|okay|ok|mm-?hmm?|uh-?huh|i (think|suppose) so|it is)$",
        "",
        (
            "I see. Tell me more about it.",
            "Yes. What else belongs to it?",
            "And what is that like for you?",
        ),
    ),
    ListeningRule(
        "denial",
        r"^(no|nope|not really|nah|never|i don't think so|not at all|nothing)$",
        "",
        (
            "All right. What is it, then?",
            "Not that. How would you say it?",
            "I see. What would you rather talk about?",
        ),
    ),
    ListeningRule(
        "want",
        r"\b(?:i (?:really |just |only |still )?(?:want|need|would like)|i'd like) (.+)",
        "curious",
        (
            "You would like {echo}. What would it change?",
            "What stands between you and that?",
            "And if it came true, what would be different?",
        ),
    ),
    ListeningRule(
        "inability",
        r"\bi (?:just |really |still )?(?:can't|cannot|can not|couldn't|could not) (.+)",
        "soft tone",
        (
            "You can't {echo}. What is that like?",
            "That sounds hard. What happens when you try?",
            "What makes it so difficult?",
        ),
    ),
    ListeningRule(
        "duty",
        r"\b(?:i (?:really |just |always )?(?:have to|must|got to|gotta)|i've got to) (.+)",
        "",
        (
            "You feel that you have to {echo}. Who expects it of you?",
            "That sounds like a burden. What would happen if you did not?",
            "And what would you do if you were free?",
        ),
    ),
    ListeningRule(
        "always",
        r"\b(always|never|everybody|everyone|nobody|no one|every time|all the time)\b",
        "curious",
        (
            "It feels as if it were so every time. When was it last like that?",
            "That is a strong word. Is there a moment when it was otherwise?",
            "It sounds as if you had carried this for long. When did it begin?",
        ),
    ),
    ListeningRule(
        "family",
        r"\bmy (mother|mum|mom|father|dad|parents|sister|brother|son|daughter|children|kids|wife|husband|partner|"
        r"girlfriend|boyfriend|family|grandmother|grandfather|uncle|aunt|friend|friends|boss|colleague|teacher|"
        r"neighbour|neighbor)\b",
        "",
        (
            "You speak of your {echo}. How are things between you?",
            "How do you feel when you think of your {echo}?",
            "What would you like to say to your {echo}?",
        ),
    ),
    ListeningRule(
        "work",
        r"\b(work|working|job|school|university|exam|exams|boss|office|interview|homework|project|deadline)\b",
        "",
        (
            "That takes a lot of room in a day. How do you feel at the end of it?",
            "What is the hardest part of it, and what is the best?",
            "How would you like it to be?",
        ),
    ),
    ListeningRule(
        "sleep",
        r"\b(sleep|slept|sleeping|dream|dreamt|dreamed|nightmare\w*|awake)\b",
        "soft tone",
        (
            "The nights are part of it, too. What goes through your mind then?",
            "How do you feel in the morning after that?",
            "What keeps coming back to you at night?",
        ),
    ),
    ListeningRule(
        "memory",
        r"\b(remember|used to|years ago|when i was|as a child|back then|in the past)\b",
        "soft tone",
        (
            "That goes a long way back. What is still alive of it today?",
            "What do you see when you think of that time?",
            "How was it for you then, and how is it now?",
        ),
    ),
    ListeningRule(
        "future",
        r"\b(tomorrow|next (week|month|year)|going to|soon|plan|plans|planning|future|weekend)\b",
        "curious",
        (
            "That is still to come. What do you expect of it?",
            "How do you feel when you think of that day?",
            "What would be the best way for it to go?",
        ),
    ),
    ListeningRule(
        "because",
        r"\bbecause (.+)",
        "",
        (
            "Because {echo}. Is there anything else behind it?",
            "So that is the reason. What does it do to you?",
        ),
    ),
    ListeningRule(
        "listener",
        r"\byou (?:are|don't|never|can't|only|just|always|keep|sound)\b",
        "calm",
        (
            "You wonder about me. What would you need from me right now?",
            "I am only here to listen. What did you hope that I would say?",
        ),
    ),
)

#: Replies to no text, to another language, to a question, and to all other texts.
SILENT_REPLIES = (
    "I am here. Take your time.",
    "There is no hurry. I am listening.",
    "We can also be quiet for a while. What is going through your mind?",
)
FOREIGN_REPLIES = (
    "I am sorry, I understand only English. Could you say it in English?",
    "I can hear you, but English is all that I know. What is it about, in a few English words?",
    "That was not English to me. Could you try it once more?",
)
ASKED_REPLIES = (
    "What makes you ask?",
    "What would your own answer be?",
    "That question seems to matter to you. What lies behind it?",
    "I don't know. What do you hope the answer is?",
)
ECHO_REPLIES = (
    "{Echo}. How was that for you?",
    "{Echo}. What did you feel then?",
    "So {echo}. Tell me more.",
    "{Echo}. And what happened next?",
)
OPEN_REPLIES = (
    "Tell me more about that.",
    "What was that like for you?",
    "What matters most to you in this?",
    "I am listening. Please go on.",
    "How long has that been on your mind?",
    "What happened then?",
    "And how do you feel about it now?",
)
REPEATED_REPLIES = (
    "You say it once more, so it must be important. What have I not understood yet?",
    "That comes back to you. What makes it stay?",
)
FEELING_REPLIES = {
    "bright": (
        "You feel {feeling}. What brought it about?",
        "It is good to hear that you feel {feeling}. What was the best moment?",
        "You feel {feeling}, and there is room for that. What would you like to keep of it?",
    ),
    "even": (
        "You feel {feeling}. What does that look like today?",
        "That is good to hear. What has helped?",
        "So it is all right as it is. What else is on your mind?",
    ),
    "heavy": (
        "You feel {feeling}. What is it that weighs on you most?",
        "To feel {feeling} sounds hard. When did it begin?",
        "So you feel {feeling}. Where do you notice it most?",
        "You say openly that you feel {feeling}. What would you need now?",
    ),
}
DENIED_REPLIES = (
    "You don't feel {feeling}. How would you say it instead?",
    "Not {feeling}. What is it, then?",
)
OTHERS_REPLIES = (
    "You notice that somebody is {feeling}. How is it for you to see that?",
    "And you yourself, how do you feel with that?",
)
DISAGREEING_REPLIES = (
    "You say that you are {feeling}, and yet you sound {heard} to me. Is there something else?",
    "Your words say {feeling}, and your voice sounds {heard}. I may be wrong. What is it like inside?",
)
HEARD_REPLIES = (
    "You sound {heard} as you say that.",
    "I think I hear that you are {heard}.",
    "Your voice sounds {heard} to me.",
)

#: Common words: nearly every English sentence has one of them.
_COMMON = word_set(
    "i i'm i've i'll i'd you you're he he's she she's it it's we we're they they're me him her us them my your "
    "his our their this that that's these those a an the and or but so if because when what who where why how is "
    "am are was were be been do does did don't didn't have has had not no yes can can't could will would should "
    "to of in on at for with from by about up out just very really too there here all some any more much many "
    "good bad today now feel think know want go went get got like time day hello okay"
)

_SWAPPED = {
    "i": "you", "me": "you", "my": "your", "mine": "yours", "myself": "yourself", "am": "are", "i'm": "you're",
    "i've": "you've", "i'll": "you'll", "i'd": "you'd", "we": "you", "us": "you", "our": "your", "ours": "yours",
    "ourselves": "yourselves", "we're": "you're", "we've": "you've", "we'll": "you'll", "your": "my",
    "yours": "mine", "yourself": "myself", "you're": "I'm", "you've": "I've", "you'll": "I'll",
}  # fmt: skip

_HEARD_LINE = re.compile(r"\[sounds ([a-z][a-z -]*?) \(confidence [0-9.]+\)[^\]\n]*\]")
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_SLOT = re.compile(r"\{\w+\}")
_FEELING_OF = {word: kind for kind, words in FEELINGS.items() for word in words}
_SELF = word_set("i i'm i've i'd me we we're")
_OTHERS = word_set("he he's she she's they they're my our")
_NOBODY = word_set("it it's that that's this you you're")
_NEGATIONS = word_set("not no never don't didn't isn't wasn't aren't hardly longer")
_FEELS = word_set(
    "am i'm was feel feeling felt been be is are were we're he's she's they're so very really quite a bit little "
    "too all pretty"
)


def listen(turns: Sequence[tuple[str, str]]) -> str:
    """The listener's next answer, which may begin with a style tag in parentheses.

    Args:
        turns: role and content of each message, as `apps.converse.dialogue` has them; those of the system have no
            effect.

    >>> listen([("user", "I had a fight with my sister.\\n[sounds sad (confidence 0.71)]")])
    '(soft tone) You sound sad as you say that. You speak of your sister. How are things between you?'
    """
    said = [content for role, content in turns if role == "assistant"]
    asked = []  # each text, and its last recognised class of emotion; empty without one
    for content in (content for role, content in turns if role == "user"):
        heard = _HEARD_LINE.findall(content)
        asked.append((_HEARD_LINE.sub(" ", content), heard[-1] if heard else ""))
    if not asked or turns[-1][0] != "user":
        return _tagged("calm", "Hello. I am listening. How are you today?")
    tag, answer = _answer(*asked[-1], asked[:-1], said)
    if said and said[-1].endswith(answer):
        answer = _next(OPEN_REPLIES, said)
    return _tagged(tag, answer)


def _answer(text: str, heard: str, asked: Sequence[tuple[str, str]], said: Sequence[str]) -> tuple[str, str]:
    """The tag (may be empty) and the answer to a text, after the earlier texts and answers."""
    words = _lower_words(text)
    plain = " ".join(words)
    if not plain:
        return "calm", _next(SILENT_REPLIES, said)
    letters = [character for character in text if character.isalpha()]
    is_foreign = sum(character.isascii() for character in letters) < len(letters) / 2
    if is_foreign or (len(words) >= KNOWN_FROM and not _COMMON.intersection(words)):
        return "", _next(FOREIGN_REPLIES, said)
    for rule in FIRST_RULES:
        if re.search(rule.pattern, plain):
            return rule.tag, _next(rule.replies, said)
    earlier, heard_earlier = asked[-1] if asked else ("", "")
    if len(words) > 2 and plain == " ".join(_lower_words(earlier)):
        return "", _next(REPEATED_REPLIES, said)
    if felt := _about_feeling(words, heard, said):
        return felt
    tag, answer = _about_matter(text, words, said)
    if heard in HEARD and heard != heard_earlier:
        opening = _next(HEARD_REPLIES, said, heard=HEARD[heard])
        return tag or TAGS.get(heard, "calm"), f"{opening} {answer}"
    return tag, answer


def _about_feeling(words: Sequence[str], heard: str, said: Sequence[str]) -> tuple[str, str] | None:
    for index, word in enumerate(words):
        kind, before = _FEELING_OF.get(word), words[max(0, index - 6) : index]
        makes = before[-1:] == ["me"] and before[-2:-1] in (["makes"], ["made"], ["make"])
        if kind is None or not before or not (makes or before[-1] in _FEELS | _NEGATIONS):
            continue
        whose, tag = _whose(before), TAGS.get(kind, "calm")
        if whose == "others" and kind != "calm":
            return tag, _next(OTHERS_REPLIES, said, feeling=word)
        if whose != "self":
            continue
        if _NEGATIONS.intersection(before[-3:]):
            return "calm", _next(DENIED_REPLIES, said, feeling=word)
        weight = _WEIGHTS.get(kind, "heavy")
        if heard in HEARD and weight != "heavy" and heard not in _WEIGHTS:
            return "soft tone", _next(DISAGREEING_REPLIES, said, feeling=word, heard=HEARD[heard])
        return tag, _next(FEELING_REPLIES[weight], said, feeling=word)
    return None


def _whose(before: Sequence[str]) -> str:
    """Whose feeling it is, by the words before it: of `self`, of `others`, or (empty) of no person."""
    third = False
    for word in reversed(before):
        if word in _OTHERS:
            return "others"
        if word in _NOBODY:
            return ""
        if word in _SELF:
            return "" if third else "self"
        third = third or word in ("is", "are")
    return ""


def _about_matter(text: str, words: Sequence[str], said: Sequence[str]) -> tuple[str, str]:
    if ends_as_question(text) or (len(words) > 1 and sounds_like_question(words)):
        return "curious", _next(ASKED_REPLIES, said)
    clauses = [
        tokens for part in re.split(r"[.!?;:\n]", text) if (tokens := _WORD.findall(part.replace("’", "'")))
    ]
    for rule in NEXT_RULES:
        for clause in clauses:
            if match := re.search(rule.pattern, " ".join(clause), re.IGNORECASE):
                echo = _swapped((match[1] or "").split()) if match.re.groups else []
                usable = [reply for reply in rule.replies if "{echo}" not in reply or _is_short(echo)]
                return rule.tag, _next(usable or OPEN_REPLIES, said, echo=" ".join(echo))
    echo = _swapped(clauses[0])
    if len(echo) > 2 and echo[0] in ("you", "your", "you're", "you've") and _is_short(echo):
        joined = " ".join(echo)
        return "", _next(ECHO_REPLIES, said, echo=joined, Echo=joined[0].upper() + joined[1:])
    return "", _next(OPEN_REPLIES, said)


def _lower_words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text.replace("’", "'"))]


def _is_short(echo: Sequence[str]) -> bool:
    return 0 < len(echo) <= MOST_ECHOED_WORDS and all(len(word) <= 20 for word in echo)


def _swapped(words: Sequence[str]) -> list[str]:
    """Words from the other side: "i lost my keys" as "you lost your keys"."""
    swapped: list[str] = []
    for index, written in enumerate(words):
        word, before = written.lower(), words[index - 1].lower() if index else ""
        if word == "you":
            following = words[index + 1].lower() if index + 1 < len(words) else ""
            is_subject = following in AUXILIARIES or (following and before in ("", "that", "and", "if"))
            swapped.append("I" if is_subject else "me")
        elif word == "was" and before == "i":
            swapped.append("were")
        elif word == "are" and before == "you":
            swapped.append("am" if swapped[-1] == "I" else "are")
        else:
            swapped.append(_SWAPPED.get(word, written))
    return swapped


def _next(replies: Sequence[str], said: Sequence[str], **slots: str) -> str:
    """The first of several replies that was not used yet, otherwise the one used longest ago."""
    last = [
        max((index for index, old in enumerate(said) if _is_like(reply, old)), default=-1) for reply in replies
    ]
    return replies[last.index(min(last))].format(**slots)


def _is_like(reply: str, old: str) -> bool:
    """Whether an answer was made of a reply, with any text in its slots, or of its beginning."""
    fixed = [part for part in _SLOT.split(reply) if part]
    reached = 0
    for part in fixed:
        start = old.find(part, reached)
        if start < 0:
            return False
        reached = start + len(part)
    return bool(fixed)


def _tagged(tag: str, text: str) -> str:
    return f"({tag}) {text}" if tag else text
