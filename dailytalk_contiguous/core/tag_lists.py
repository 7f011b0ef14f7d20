"""The style tags that each synthesiser knows, and how it wants them written.

The lists are data, taken from Fish Audio's documentation of s1; s2 takes any words. A tag that a synthesiser
doesn't know would be read aloud, or ignored, in paid audio: `check_tags` refuses it before the first call and
says what to add. Nothing is renamed unless the user's mapping says so.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from dailytalk_contiguous.core.errors import DailytalkError

FISH_S1: dict[str, tuple[str, ...]] = {
    "basic": (
        "happy", "sad", "angry", "excited", "calm", "nervous", "confident", "surprised", "satisfied", "delighted",
        "scared", "worried", "upset", "frustrated", "depressed", "empathetic", "embarrassed", "disgusted", "moved",
        "proud", "relaxed", "grateful", "curious", "sarcastic",
    ),
    "advanced": (
        "disdainful", "unhappy", "anxious", "hysterical", "indifferent", "uncertain", "doubtful", "confused",
        "disappointed", "regretful", "guilty", "ashamed", "jealous", "envious", "hopeful", "optimistic",
        "pessimistic", "nostalgic", "lonely", "bored", "contemptuous", "sympathetic", "compassionate",
        "determined", "resigned",
    ),
    "tones": ("in a hurry tone", "shouting", "screaming", "whispering", "soft tone"),
    "effects": (
        "laughing", "chuckling", "sobbing", "crying loudly", "sighing", "groaning", "panting", "gasping",
        "yawning", "snoring",
    ),
    "special": ("audience laughing", "background laughter", "crowd laughing", "break", "long-break"),
}  # fmt: skip


class Style(NamedTuple):
    """How a synthesiser takes style tags.

    `opening` and `closing` stand around a tag; `groups` are the tags it knows (none: it takes any words);
    tags of the groups in `start_only` work only at the start of a sentence, the others anywhere.
    """

    opening: str
    closing: str
    groups: Mapping[str, tuple[str, ...]]
    start_only: frozenset[str]

    @property
    def tags(self) -> frozenset[str]:
        """All tags it knows; empty if it takes any words."""
        return frozenset(tag for group in self.groups.values() for tag in group)


STYLES: dict[str, Style] = {
    "fish-s1": Style("(", ")", FISH_S1, frozenset({"basic", "advanced"})),
    "fish-s2": Style("[", "]", {}, frozenset()),
}


def style_of(synthesiser: str) -> Style:
    """The style list of a synthesiser. Raises ValueError for a name that isn't in `STYLES`."""
    if synthesiser not in STYLES:
        raise ValueError(f"synthesiser {synthesiser!r} has no style list: choose one of {', '.join(STYLES)}")
    return STYLES[synthesiser]


def only_at_start(tag: str, synthesiser: str) -> bool:
    """Whether a tag works only at the start of a sentence."""
    style = style_of(synthesiser)
    return any(tag in style.groups[group] for group in style.start_only)


def check_tags(tags: Iterable[str], synthesiser: str, mapping: Mapping[str, str]) -> dict[str, str]:
    """How each tag is to be sent to a synthesiser: as it is, or as `mapping` says.

    Raises `DailytalkError` if any of them is unknown to the synthesiser (or, for one that takes any words, is
    empty or holds its brackets), with all of those tags and the entries that `mapping` lacks. Call it before the
    first paid request.
    """
    style = style_of(synthesiser)
    sent = {tag: mapping.get(tag, tag) for tag in dict.fromkeys(tags)}
    unknown = [tag for tag, words in sent.items() if not _knows(style, words)]
    if not unknown:
        return sent
    told = ", ".join(repr(tag) + (f" (as {sent[tag]!r})" if tag in mapping else "") for tag in unknown)
    entries = ", ".join(f'"{tag}": "{_nearest(tag, style)}"' for tag in unknown)
    known = f", with tags out of: {', '.join(sorted(style.tags))}" if style.groups else ""
    raise DailytalkError(f"{synthesiser} does not know {told}", f"add to the tag mapping {{{entries}}}{known}")


def render(tag: str, text: str, synthesiser: str) -> str:
    """The text with the tag before it, as a synthesiser reads it; the text alone if the tag is empty."""
    style = style_of(synthesiser)
    return f"{style.opening}{tag}{style.closing} {text}" if tag else text


def _knows(style: Style, tag: str) -> bool:
    if style.groups:
        return tag in style.tags
    return bool(tag.strip()) and style.opening not in tag and style.closing not in tag


def _nearest(tag: str, style: Style) -> str:
    """A known tag that is spelled alike, or three dots for the user to fill in."""
    return next(iter(difflib.get_close_matches(tag, sorted(style.tags), n=1)), "...")
