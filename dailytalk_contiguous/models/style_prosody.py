"""Style tags for synthesisers that know only rate, pitch and loudness.

One table for espeak and Piper (of which the latter has rate and loudness only), in multiples of the voice's own
neutral speech. The directions are those that studies of acted and real speech agree on (Murray and Arnott 1993, J.
Acoust. Soc. Am. 93:1097; Scherer 2003, Speech Communication 40:227): joy, anger and fear faster, higher and wider,
sadness slower, lower and narrower. The sizes are ours, kept small enough to stay intelligible.
"""

from typing import NamedTuple


class StyleProsody(NamedTuple):
    """Multiples of the neutral rate, mean pitch and pitch range; `gain_db` is added to the level."""

    rate: float = 1.0
    pitch: float = 1.0
    pitch_range: float = 1.0
    gain_db: float = 0.0
    whispered: bool = False


NEUTRAL = StyleProsody()

#: Every tag that a rule of `core.style.tags` can choose.
STYLE_PROSODY: dict[str, StyleProsody] = {
    "whispering": StyleProsody(0.92, 0.95, 0.6, -6.0, whispered=True),
    "soft tone": StyleProsody(0.94, 0.96, 0.8, -5.0),
    "shouting": StyleProsody(1.0, 1.3, 1.5, 5.0),
    "screaming": StyleProsody(1.05, 1.5, 1.7, 5.0),
    "in a hurry tone": StyleProsody(1.35, 1.05, 1.1, 1.0),
    "angry": StyleProsody(1.1, 1.12, 1.6, 4.0),
    "frustrated": StyleProsody(1.05, 1.06, 1.4, 2.5),
    "anxious": StyleProsody(1.15, 1.15, 1.2, 0.0),
    "nervous": StyleProsody(1.12, 1.1, 1.2, -0.5),
    "worried": StyleProsody(0.97, 1.04, 0.9, -1.0),
    "excited": StyleProsody(1.15, 1.2, 1.6, 3.0),
    "delighted": StyleProsody(1.1, 1.25, 1.7, 3.0),
    "surprised": StyleProsody(1.05, 1.3, 1.8, 2.5),
    "happy": StyleProsody(1.08, 1.15, 1.4, 1.5),
    "proud": StyleProsody(0.98, 1.08, 1.4, 2.0),
    "satisfied": StyleProsody(0.97, 1.04, 1.15, 0.5),
    "confident": StyleProsody(1.02, 0.98, 1.15, 1.5),
    "determined": StyleProsody(1.0, 0.97, 0.8, 2.5),
    "calm": StyleProsody(0.94, 0.98, 0.85, -1.0),
    "relaxed": StyleProsody(0.9, 0.97, 0.9, -1.5),
    "sad": StyleProsody(0.82, 0.92, 0.6, -3.0),
    "depressed": StyleProsody(0.75, 0.88, 0.4, -4.0),
    "disappointed": StyleProsody(0.88, 0.94, 0.7, -2.0),
    "uncertain": StyleProsody(0.9, 1.03, 1.05, -1.5),
    "doubtful": StyleProsody(0.9, 1.0, 1.2, -1.0),
    "confused": StyleProsody(0.92, 1.06, 1.3, -0.5),
    "curious": StyleProsody(1.0, 1.08, 1.35, 0.0),
}


def prosody_of_tag(tag: str) -> StyleProsody:
    """Return the prosody of the style `tag`: neutral for no tag, and for one that isn't in `STYLE_PROSODY`."""
    return STYLE_PROSODY.get(tag, NEUTRAL)
