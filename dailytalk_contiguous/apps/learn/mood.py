"""A mood in a sentence to be spoken: a class of emotion and the arousal of the voice."""

from collections.abc import Mapping

from dailytalk_contiguous.core.emotions import UNSURE

#: Arousal in [0, 1] below which a voice is low, and above which it is high; 0.5 is the usual.
LOW_AROUSAL, HIGH_AROUSAL = 0.42, 0.62

#: Words for a class, and additions for low and for high arousal; empty for nothing.
_MOODS: Mapping[str, tuple[str, str, str]] = {
    "angry": ("angry", "though you hold it back", "and very tense"),
    "disgusted": ("disgusted", "and weary", "and worked up"),
    "fearful": ("afraid", "and very quiet", "and very tense"),
    "happy": ("happy", "and relaxed", "and excited"),
    "neutral": ("calm", "and a little tired", "and lively"),
    "sad": ("sad", "and a little tired", "and upset"),
    "surprised": ("surprised", "and thoughtful", "and excited"),
}

#: The same where the class is not sure.
_UNSURE = ("I can't tell how you feel", "but you sound a little tired", "but you sound lively")


def mood_sentence(emotion: str | None, arousal: float | None = None) -> str:
    """A sentence on a mood.

    Args:
        emotion: a class, `UNSURE`, or None without speech.
        arousal: in [0, 1]; None or NaN if it is not known.

    >>> mood_sentence("sad", 0.3), mood_sentence("angry", 0.5)
    ('You sound sad, and a little tired.', 'You sound angry.')
    """
    if emotion is None:
        return "I heard nobody speak."
    start, low, high = _MOODS.get(emotion, (emotion.replace("_", " "), "and quiet", "and lively"))
    start = f"You sound {start}"
    if emotion == UNSURE:
        start, low, high = _UNSURE
    added = ""
    if arousal is not None:
        added = low if arousal < LOW_AROUSAL else high if arousal > HIGH_AROUSAL else ""
    return f"{start}, {added}." if added else f"{start}."
