import pytest
from clips import clips, line
from stage_calls import columns_after

from dailytalk_contiguous.apps.clips.clip_words import CutSpeech, TimeWords
from dailytalk_contiguous.apps.clips.measure_quality import MeasureQuality
from dailytalk_contiguous.apps.clips.to_clips import clip_stages
from dailytalk_contiguous.core.records.schema import Batch
from dailytalk_contiguous.core.words.word_times import join_words
from dailytalk_contiguous.models.profiles import PROFILES


def cut(text: str | None = "Hello there.", **columns: object) -> Batch:
    """A clip of one line as TimeWords takes it."""
    batch = clips(line(edge=0.6))
    batch |= columns_after(MeasureQuality(), batch)
    batch |= columns_after(CutSpeech(), batch)
    row = {"text": text, "language": "en", "speaker": "corpus/one"} | columns
    return batch | {name: [value] for name, value in row.items()}


def test_speech_is_what_is_heard_without_the_silent_edges() -> None:
    batch = cut()
    (heard,) = batch["heard"]
    start = heard[0]["start"]
    assert start > 0.5
    assert batch["speech_start"] == [start]
    extent = heard[-1]["end"] - start
    assert len(batch["speech"][0]) / 32000 == pytest.approx(extent, abs=0.001)
    assert batch["speech_seconds"][0] == pytest.approx(extent * batch["speech_ratio"][0])


def test_clip_without_text_has_what_was_recognised() -> None:
    added = columns_after(TimeWords(recogniser="tiny.en"), cut(None))
    assert added["text_source"] == ["recogniser"]
    assert {*added["word_sources"][0]} == {"aligned-pocketsphinx"}
    assert added["text_raw"] == [" ".join(word["word"] for word in added["words"][0])]


def test_text_whose_words_were_heard_has_the_heard_times() -> None:
    heard = columns_after(TimeWords("tiny.en", "none"), cut(None))["words"][0]
    text = join_words(word["word"] for word in heard)
    added = columns_after(TimeWords("tiny.en", "none"), cut(text))
    assert added["text_source"] == ["given"]
    assert {*added["word_sources"][0]} == {"recogniser"}
    (words,) = added["words"]
    assert [word["word"] for word in words] == text.split()
    for word, recognised in zip(words, heard, strict=True):
        assert word["start"] == pytest.approx(recognised["start"])
        assert word["end"] == pytest.approx(recognised["end"])
        assert word["probability"] == recognised["probability"]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_recogniser_of_the_profile_times_words_unless_another_is_named(profile: str) -> None:
    def recognisers(**options: str) -> list[str]:
        measuring, _ = clip_stages(profile, **options)
        return [stage.recogniser for stage in measuring if isinstance(stage, TimeWords)]

    assert recognisers() == [PROFILES[profile].models["recogniser"]]
    assert recognisers(asr_model="tiny.en") == ["tiny.en"]
    assert recognisers(asr_model="none") == [""]
