"""The numbers that decide what is published: the documentation states those that the code has."""

from dataclasses import asdict
from typing import Any

import pytest
from audio_files import ROOT

from dailytalk_contiguous.core import audio, hallucination, loudness, pitch, prosody, quality
from dailytalk_contiguous.core.buckets import FLOORS
from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.models.synthesisers.openai import PRICES
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.publish import csm, findings, moshi_folder, verdict
from dailytalk_contiguous.sources import folder, recordings
from dailytalk_contiguous.stages import rate_affect
from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion
from dailytalk_contiguous.stages.segment import Segment

TAG = settings_of(*tag_stages(device="cpu"))

#: A page, and words of it with the places of numbers that the code has.
STATED: list[tuple[str, str, tuple[float, ...]]] = [
    ("README.md", "{:g} to {:g} kHz", (audio.LOWEST_RATE / 1000, audio.HIGHEST_RATE / 1000)),
    ("README.md", "Recordings over {:g} minutes are cut", (folder.MAX_CONVERSATION / 60,)),
    ("docs/commands.md", "up to {:g} % shorter", (100 * recordings.MOST_APART,)),
    ("docs/commands.md", "`--affect-context {:g}s`", (TAG["affect_context"],)),
    ("docs/commands.md", "says within {:g} s of it", (rate_affect.REACH,)),
    ("docs/corpora.md", "{:g} LUFS", (loudness.TARGET_LUFS,)),
    ("docs/emotion.md", "`--emotion-confidence {:g}`", (ClassifyEmotion().confidence,)),
    ("docs/fine-tuning.md", "`--max-length {:g}s`", (moshi_folder.WINDOW_SECONDS,)),
    ("docs/fine-tuning.md", "silent for at least {:g} s in reach", (moshi_folder.SHORTEST_SILENCE,)),
    ("docs/fine-tuning.md", "less than {:g} s apart are one turn", (csm.ONE_TURN,)),
    ("docs/fine-tuning.md", "advice up to {:g} % of a file's words", (100 * findings.SAME_FRAME_SHARE,)),
    ("docs/fine-tuning.md", "an error above {:g} % of a file's words", (100 * findings.SILENT_SHARE,)),
    ("docs/fine-tuning.md", "over {:g} % of the turns of a side", (100 * verdict.FitnessLimits().most_same_gaps,)),
    (
        "docs/fine-tuning.md",
        "(at least {:g}) begin within {:g} ms",
        (verdict.FEWEST_CHANGES, 1000 * verdict.SAME_GAP),
    ),
    ("docs/fine-tuning.md", "speaks for less than {:g} % of", (100 * verdict.FitnessLimits().least_main_talk,)),
    ("docs/fine-tuning.md", "half of the conversations (at least {:g})", (verdict.FEWEST_CONVERSATIONS,)),
    ("dataset_card/fields.md", "over {:g} s it is cut at the quietest point", (Segment().longest,)),
    ("dataset_card/fields.md", "`short`: under {:g} s", (Segment().short,)),
    ("dataset_card/fields.md", "in frames of {:g}/{:g} samples", (prosody.FRAME, prosody.HOP)),
    ("dataset_card/fields.md", "{:g}–{:g} Hz", (pitch.F0_MIN, pitch.F0_MAX)),
    ("dataset_card/fields.md", "null below {:g} voiced frames", (prosody.MIN_VOICED,)),
]


@pytest.mark.parametrize(("page", "words", "values"), STATED)
def test_number_that_a_page_states_is_that_of_the_code(page: str, words: str, values: tuple[float, ...]) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert words.format(*values) in text


#: What rejects a clip or a text, or is advised against: reports state the limit beside the figure.
LIMITS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a clip": (
        asdict(quality.QualityLimits()),
        {"shortest": 0.5, "longest": 30.0, "lowest_snr_db": 10.0, "most_clipping": 0.005, "longest_silence": 1.5}
        | {"lowest_bandwidth_hz": 6500.0, "lowest_speech_ratio": 0.4},
    ),
    "a recording": (
        asdict(verdict.FitnessLimits()),
        {"lowest_confidence": 0.6, "most_without_text": 0.2, "fastest_words": 7.0, "most_unheard_words": 0.05}
        | {"lowest_bandwidth_hz": 6500.0, "most_level_difference_db": 10.0, "lowest_snr_db": 10.0}
        | {"most_clipping": 0.005, "most_leak_db": -20.0, "least_length_ratio": 0.7, "most_length_ratio": 1.4}
        | {"most_as_recorded": 0.1, "least_talk_share": 0.05, "longest_turn": 10.0, "longest_monologue": 60.0}
        | {"least_main_talk": 0.36, "most_same_gaps": 0.6}
        | {"least_turns": 3.0, "latest_start": 5.0, "slowest_response": 2.0, "least_overlap": 0.1}
        | {"voice_hours": 20.0, "language_hours": 400.0, "most_lost": 0.1, "least_heard_as_meant": 0.5},
    ),
    "a text": (
        {
            name: getattr(hallucination, name)
            for name in ("NO_SPEECH", "LOW_LOGPROB", "COMPRESSION", "LOOP_REPEATS")
        },
        {"NO_SPEECH": 0.6, "LOW_LOGPROB": -1.0, "COMPRESSION": 2.4, "LOOP_REPEATS": 6},
    ),
    "a bucket": (
        dict(FLOORS),
        {"valence": 0.05, "arousal": 0.05, "dominance": 0.05, "rms": 3.0, "speech_rate": 0.5, "zcr": 0.02}
        | {"f0_mean": 1.5, "f0_std": 5.0},
    ),
    "a price": (dict(PRICES), {"gpt-4o-mini-tts": 17.0, "tts-1-hd": 30.0, "tts-1": 15.0}),
}


@pytest.mark.parametrize("what", LIMITS)
def test_limits_are_those_by_which_data_were_published(what: str) -> None:
    limits, published = LIMITS[what]
    assert limits == published
