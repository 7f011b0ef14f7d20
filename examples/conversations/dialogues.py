"""The four conversations of the bundled recordings, as plain data for make_examples.py.

Decided here: who says what, in which manner, and when relative to the others. Times are
relative (gaps and fractions), because the absolute ones follow from the synthesised speech.
"""

from dataclasses import dataclass
from typing import Literal

Channel = Literal["left", "right"]
Event = Literal["turn", "overlap", "backchannel", "interruption"]


@dataclass(frozen=True)
class Style:
    """A manner of speaking: duration factor, pitch factor and gain in dB."""

    stretch: float = 1.0
    pitch: float = 1.0
    gain_db: float = 0.0


@dataclass(frozen=True)
class Line:
    """One utterance.

    `gap` counts in seconds from the end of the last line that held the floor; a negative one
    overlaps it. A backchannel ignores `gap` and begins at the fraction `at` of that line, without
    taking the floor. `keep` cuts the line after so many words, where the next one breaks in.
    """

    channel: Channel
    text: str
    style: str = "neutral"
    event: Event = "turn"
    gap: float = 0.4
    at: float = 0.5
    keep: int | None = None


@dataclass(frozen=True)
class Dialogue:
    """A conversation: file name without ending, one voice per channel, seed of the room tone."""

    name: str
    left: str
    right: str
    seed: int
    lines: tuple[Line, ...]


STYLES: dict[str, Style] = {
    "neutral": Style(),
    "loud": Style(gain_db=8.0),
    "soft": Style(gain_db=-8.0),
    "fast": Style(stretch=0.75),
    "slow": Style(stretch=1.25),
    "high": Style(pitch=1.2),
    "low": Style(pitch=0.87),
}


def _left(text: str, style: str = "neutral", gap: float = 0.4, keep: int | None = None) -> Line:
    """A turn of the left speaker, or an overlap where the gap is negative."""
    return Line("left", text, style, "overlap" if gap < 0 else "turn", gap, keep=keep)


def _right(text: str, style: str = "neutral", gap: float = 0.4, keep: int | None = None) -> Line:
    """A turn of the right speaker, or an overlap where the gap is negative."""
    return Line("right", text, style, "overlap" if gap < 0 else "turn", gap, keep=keep)


def _nod(channel: Channel, text: str, at: float, style: str = "neutral") -> Line:
    """A backchannel inside the other speaker's line."""
    return Line(channel, text, style, "backchannel", at=at)


def _cut_in(channel: Channel, text: str, style: str, gap: float = -0.3) -> Line:
    """An interruption: the other speaker's line stops just after this one begins."""
    return Line(channel, text, style, "interruption", gap)


BICYCLE_REPAIR = Dialogue(
    "bicycle_repair",
    left="slt",
    right="rms",
    seed=11,
    lines=(
        _right("Good morning, corner bicycle shop. How can I help you?", gap=0.8),
        _left("Oh, hello! I hope you can save my bicycle.", "high"),
        _right("I will do my best. What happened?"),
        _left("I was riding down the hill by the river, and suddenly the chain came off.", "fast"),
        _nod("right", "Right.", 0.45),
        _right("Were you hurt, or just surprised?", "low", gap=0.6),
        _left("No, but I rolled straight into a garden."),
        _left("Into a bed of flowers, to be honest.", "soft", gap=0.75),
        _right("Oh no! Not the flowers!", "loud", gap=-0.35),
        _left("The owner was standing right there, with a basket of tomatoes.", "slow"),
        _nod("right", "Really?", 0.5),
        _right("And what did she say to you?", "high", gap=0.5),
        _left("She laughed! She laughed so much that she had to sit down.", "loud"),
        _right("Well, that is a good neighbor. Now tell me, does the back wheel still turn?"),
        _nod("left", "Yeah.", 0.4),
        _left("It turns, but it makes a terrible noise, just like an angry goose.", "low", gap=0.3, keep=11),
        _cut_in("right", "Wait, wait! Let me hear it. Please hold the phone close to the wheel.", "fast"),
        _left("Okay. Are you listening?"),
        _right("Yes, I can hear it.", "soft"),
        _right("Your back wheel is bent, and you need a new chain.", "slow", gap=0.8),
        _left("Is it very expensive to repair?", "high"),
        _right("Not at all. Bring it here today, and it will be ready tomorrow evening."),
        _nod("left", "Okay.", 0.45),
        _left("That is wonderful news for me!", "loud"),
        _right("And please, stay away from the gardens.", "soft"),
        _left("I promise, I promise! Thank you so much.", "fast", gap=-0.3),
        _right("Good, we will see you tomorrow.", "low"),
    ),
)

OLD_FRIENDS = Dialogue(
    "old_friends",
    left="rms",
    right="slt",
    seed=12,
    lines=(
        _left("Maria! Is that really you?", "loud", gap=0.7),
        _right("Peter! I can't believe it!", "high", gap=0.3),
        _left("It must be ten years since the wedding."),
        _right("Eleven years, actually. You look exactly the same.", "fast", gap=-0.3),
        _left("That is very kind, but my hair is gone.", "soft"),
        _right("So tell me, where have you been?", "low"),
        _left("You first! What are you doing these days?", "high", gap=0.25),
        _right(
            "Well, it is a long story. After the wedding we moved to a small village near the sea. "
            "My husband opened a bakery, and I started to paint. At first nobody bought a single picture. "
            "Then one summer a tourist asked for a painting of his dog. "
            "Now half of my paintings are dogs, and I have never been so happy.",
            gap=0.5,
        ),
        _left("Dogs! That is fantastic!", "loud"),
        _right("It pays for the bread, at least.", "soft"),
        _left("I would love to see one of them."),
        _right("You should come and visit us. We have a spare room and far too much cake.", "fast"),
        _nod("left", "Yeah.", 0.4),
        _left("I am still working in the same old office.", "low", gap=0.6),
        _nod("right", "Okay.", 0.5),
        _left(
            "Every morning I take the same train, and every evening I wonder if I should leave.",
            "slow",
            gap=0.8,
            keep=12,
        ),
        _cut_in("right", "Then come with me! Come to the ocean!", "loud"),
        _left("You always say things like that. You said it when we were twenty.", "fast"),
        _right("Tell me, was it good advice?", "low"),
        _left("No, you were right.", "soft", gap=0.7),
        _right("The bus leaves on Friday at noon."),
        _left("This Friday? Are you serious?", "high", gap=-0.25),
        _right("Yes, my friend, I am very serious.", "slow"),
        _left("Okay. I will bring my old guitar."),
        _right("Perfect! We will sing for the dogs!", "high"),
    ),
)

BURNT_DINNER = Dialogue(
    "burnt_dinner",
    left="rms",
    right="slt",
    seed=13,
    lines=(
        _right("Hello? I need your help! There is smoke in the kitchen!", "loud", gap=0.6),
        _left("Open the window! What are you cooking?", "fast", gap=0.3),
        _right("I am trying to make your famous tomato soup."),
        _left("I have never seen a soup make that much smoke.", "low"),
        _right("Well, I forgot it on the stove for an hour.", "soft"),
        _left("Really? What were you doing?", "high", gap=-0.3),
        _right("I was talking to our mother, and you know how long that takes.", "fast"),
        _nod("left", "Yeah.", 0.5),
        _left("Okay. First, turn off the heat.", gap=0.6),
        _right("I turned it off a minute ago."),
        _left("Now carry the pot to the garden, and leave it there.", "slow"),
        _nod("right", "Right.", 0.5),
        _right("Wait a moment! This pot is really heavy!", "high", gap=0.5),
        _left("Please be careful, and do not burn your hands.", "soft"),
        _right("Wait! The cat jumped on the table! She is going to eat the cheese.", "loud", gap=0.9, keep=13),
        _cut_in("left", "Forget the cat! Shut the door!", "loud"),
        _right("It is too late. She has the whole chicken.", "low", gap=0.6),
        _left("Wait, you also have a chicken?", "high", gap=0.3),
        _right("We had a beautiful chicken.", "slow"),
        _left("How many people are coming tonight?"),
        _right("Six friends, and all of them are hungry.", "soft"),
        _left("All right. Boil some water, cut an onion, and look for some pasta.", "fast"),
        _nod("right", "Okay.", 0.5),
        _right("I have some butter, a bag of pasta, and one very small lemon.", gap=0.6),
        _left("Lemon pasta! That will be a wonderful dinner!", "loud"),
        _right("You are a genius! Thank you so much!", "high", gap=-0.25),
        _left("Please keep some of it for me.", "low"),
    ),
)

WEEKEND_TRIP = Dialogue(
    "weekend_trip",
    left="rms",
    right="awb",
    seed=14,
    lines=(
        _left("So, tell me, where should we go this weekend?", gap=0.7),
        _right("I want to see the mountains!", "high"),
        _left("The weather report says it will rain.", "low"),
        _right("It always rains somewhere. We can take a big umbrella.", "fast", gap=0.3),
        _nod("left", "Right.", 0.45),
        _left("What about the lake? There is a little hotel with a boat.", gap=0.6),
        _right("The lake is nice, I guess.", "soft", gap=-0.3),
        _left("You don't sound very happy about it!", "loud"),
        _right(
            "Let me explain. When I was a boy, my uncle took me fishing on that lake. "
            "The boat had a small hole, and nobody noticed it. "
            "We were in the middle of the water when my feet got cold. "
            "My uncle gave me a cup, and told me to work fast. I still dream about that cup.",
            gap=0.6,
        ),
        _nod("left", "Really?", 0.5),
        _left("That is a terrible story! Did you catch a fish?", "high"),
        _right("We caught a cold.", "low"),
        _left("All right, no boats. I promise.", "soft"),
        _right("Thank you. What about a city?"),
        _left(
            "We could take the early train, see the old castle, and eat dinner by the harbor.",
            "fast",
            keep=15,
        ),
        _cut_in("right", "Yes! I love old castles!", "loud", gap=-0.25),
        _left("It opens at nine, and the tickets are cheap.", gap=0.5),
        _nod("right", "Okay.", 0.5),
        _right("Can we climb to the top of the tower?", "slow", gap=0.6),
        _left("We can, but there are four hundred steps.", "low"),
        _right("Four hundred? That is too many for me!", "high", gap=0.25),
        _left("Do not worry. We can rest on the way.", "soft"),
        _right("And then we can have some coffee and cake at the market.", "fast"),
        _nod("left", "Yeah.", 0.5),
        _left("Now you sound happy! I am glad to hear it!", "loud", gap=0.6),
        _right("I will pack everything tonight.", "soft"),
        _left("And please leave the umbrella at home.", "slow", gap=-0.25),
    ),
)

DIALOGUES: tuple[Dialogue, ...] = (BICYCLE_REPAIR, OLD_FRIENDS, BURNT_DINNER, WEEKEND_TRIP)
