"""The numbers that decide what is published: the documentation states those that the code has."""

import pytest
from audio_files import ROOT

from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.core.sound import loudness, pitch, prosody, voice_likeness
from dailytalk_contiguous.core.sound.samples import HIGHEST_RATE, LOWEST_RATE
from dailytalk_contiguous.core.style import emotions
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.publish.checks import findings, verdict
from dailytalk_contiguous.publish.exports import csm, moshi_config, pieces
from dailytalk_contiguous.sources import folder
from dailytalk_contiguous.sources.recordings import pairs
from dailytalk_contiguous.stages import rate_affect
from dailytalk_contiguous.stages.segment import Segment

TAG = settings_of(*tag_stages(device="cpu"))

#: A page, and words of it with the places of numbers that the code has.
STATED: list[tuple[str, str, tuple[float, ...]]] = [
    ("README.md", "{:g} to {:g} kHz", (LOWEST_RATE / 1000, HIGHEST_RATE / 1000)),
    ("README.md", "Recordings over {:g} minutes are cut", (folder.MAX_CONVERSATION / 60,)),
    ("docs/inputs.md", "up to {:g} % shorter", (100 * pairs.MOST_APART,)),
    ("docs/commands.md", "`affect_context={:g}`", (TAG["affect_context"],)),
    ("docs/commands.md", "says within {:g} s of it", (rate_affect.REACH,)),
    ("docs/corpora.md", "{:g} LUFS", (loudness.TARGET_LUFS,)),
    ("docs/emotion.md", "its limit is {:g}", (emotions.LEAST_CONFIDENCE,)),
    ("docs/emotion.md", "right {:.0f} % of the time for an utterance alone", (100 * emotions.RIGHT_ALONE,)),
    ("docs/emotion.md", "and {:.0f} % beside many others", (100 * emotions.RIGHT_BESIDE,)),
    ("docs/fine-tuning.md", "`--max-length {:g}s`", (moshi_config.WINDOW_SECONDS,)),
    ("docs/fine-tuning.md", "silent for at least {:g} s in reach", (pieces.SHORTEST_SILENCE,)),
    ("docs/trainers.md", "less than {:g} s apart are one turn", (csm.ONE_TURN,)),
    ("docs/fine-tuning.md", "advice up to {:g} % of a file's words", (100 * findings.SAME_FRAME_SHARE,)),
    ("docs/fine-tuning.md", "an error above {:g} % of a file's words", (100 * findings.SILENT_SHARE,)),
    ("docs/fine-tuning.md", "over {:g} % of the turns of a side", (100 * verdict.LIMITS["same-gaps"],)),
    (
        "docs/fine-tuning.md",
        "(at least {:g}) begin within {:g} ms",
        (verdict.FEWEST_CHANGES, 1000 * verdict.SAME_GAP),
    ),
    ("docs/fine-tuning.md", "halves have a likeness under {:g}", (verdict.LIMITS["several-voices"],)),
    ("docs/fine-tuning.md", "both sides have a likeness over {:g}", (verdict.LIMITS["same-voice-on-both-sides"],)),
    (
        "docs/fine-tuning.md",
        "needs {:g} s of speech for the first, {:g} s for the second and {:g} s for the third",
        (voice_likeness.SHORTEST_SIDE, voice_likeness.SHORTEST_HALF, 2 * voice_likeness.SHORTEST_HALF),
    ),
    ("docs/fine-tuning.md", "speaks for less than {:g} % of", (100 * verdict.LIMITS["agent-silent"],)),
    ("docs/fine-tuning.md", "half of the conversations (at least {:g})", (verdict.FEWEST_CONVERSATIONS,)),
    ("dataset_card/fields.md", "over {:g} s is cut at its quietest point", (Segment().longest_seconds,)),
    ("dataset_card/fields.md", "`short` if it lasts less than {:g} s", (Segment().short_seconds,)),
    ("dataset_card/fields.md", "frames of {:g} samples, {:g} apart", (prosody.FRAME, prosody.HOP)),
    ("dataset_card/fields.md", "{:g}–{:g} Hz", (pitch.F0_MIN, pitch.F0_MAX)),
    ("dataset_card/fields.md", "null with fewer than {:g} voiced frames", (prosody.MIN_VOICED,)),
]


@pytest.mark.parametrize(("page", "words", "values"), STATED)
def test_number_that_a_page_states_is_that_of_the_code(page: str, words: str, values: tuple[float, ...]) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    one_line = " ".join(text.split())
    stated = words.format(*values)
    assert stated in one_line
