import pytest
from clips import clips, line

from dailytalk_contiguous.apps.clips.clip_words import CutSpeech, TimeWords
from dailytalk_contiguous.apps.clips.measure_quality import MeasureQuality
from dailytalk_contiguous.apps.clips.to_clips import clip_stages
from dailytalk_contiguous.core.schema import Batch
from dailytalk_contiguous.core.word_times import join_words
from dailytalk_contiguous.models.profiles import PROFILES


def cut(text: str | None = "Hello there.", **columns: object) -> Batch:
    """A clip of one line as TimeWords takes it."""
    batch = clips(line(edge=0.6))
    batch |= MeasureQuality()(batch)
    batch |= CutSpeech()(batch)
    told = {"text": text, "language": "en", "speaker": "corpus/one"} | columns
    return batch | {name: [value] for name, value in told.items()}


def test_speech_is_what_is_heard_without_the_silent_edges() -> None:
    batch = cut()
    assert batch["speech_start"][0] == batch["heard"][0][0]["start"] > 0.5
    extent = batch["heard"][0][-1]["end"] - batch["heard"][0][0]["start"]
    assert len(batch["speech"][0]) / 32000 == pytest.approx(extent, abs=0.001)
    assert batch["speech_seconds"][0] == pytest.approx(extent * batch["speech_ratio"][0])


def test_clip_without_text_has_what_was_recognised() -> None:
    added = TimeWords(recogniser="tiny.en")(cut(None))
    assert added["text_source"] == ["recogniser"]
    assert {*added["word_sources"][0]} == {"aligned-pocketsphinx"}
    assert added["text_raw"] == [" ".join(word["word"] for word in added["words"][0])]


def test_text_whose_words_were_heard_has_the_heard_times() -> None:
    heard = TimeWords("tiny.en", "none")(cut(None))["words"][0]
    text = join_words(word["word"] for word in heard)
    added = TimeWords("tiny.en", "none")(cut(text))
    assert added["text_source"] == ["given"]
    assert {*added["word_sources"][0]} == {"recogniser"}
    (words,) = added["words"]
    assert [word["word"] for word in words] == text.split()
    assert [word["start"] for word in words] == pytest.approx([word["start"] for word in heard])
    assert [word["end"] for word in words] == pytest.approx([word["end"] for word in heard])
    assert [word["probability"] for word in words] == [word["probability"] for word in heard]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_recogniser_of_the_profile_times_words_unless_another_is_named(profile: str) -> None:
    def recognisers(**options: str) -> list[str]:
        measuring, _ = clip_stages(profile, **options)
        return [stage.recogniser for stage in measuring if isinstance(stage, TimeWords)]

    assert recognisers() == [PROFILES[profile].models["recogniser"]]
    assert recognisers(asr_model="tiny.en") == ["tiny.en"]
    assert recognisers(asr_model="none") == [""]
