"""The columns of a finished conversation: what `dailytalk speak` writes, and everything after it reads.

One row a conversation. `audio` is stereo FLAC with the re-voiced speaker on the left, whichever side of the
recording that was. All times are seconds of the rebuilt conversation; what was measured on the source performance
(affect, prosody, buckets) stays as it was.
"""

from datasets import Features, List, Value

from dailytalk_contiguous.core.schema import AFFECT, AUDIO, MEASURE, PROSODY, SECONDS, STRING

_BUCKETS = ("valence", "arousal", "dominance", "energy", "rate", "zcr", "pitch", "pitch_var")

#: How an utterance came into the rebuilt conversation: resynthesised, kept sample for sample, kept although it was
#: to be resynthesised (flagged), or left out for want of text.
STATUSES = ("spoken", "kept", "kept-original", "dropped")

#: How an utterance enters (see `core.turns`).
EVENTS = ("turn", "overlap", "backchannel", "interruption")

#: Who says a word in the alignments of a Moshi folder: the left channel, which the model is to speak like, or the
#: right one (kyutai-labs/moshi-finetune).
MAIN, OTHER = "SPEAKER_MAIN", "SPEAKER_OTHER"

#: Folder of the audio of a training folder, and of the words beside it.
AUDIO_FOLDER = "data_stereo"

#: What a synthesis cost and where it lies in the cache. Null for utterances that were not resynthesised.
SYNTHESIS = {
    "engine": STRING,
    "model": STRING,
    "voice": STRING,
    "cache_key": STRING,
    "take": Value("int32"),
    "tries": Value("int32"),
    "cost": Value("float64"),
    "word_error_rate": MEASURE,
}

UTTERANCE = {
    "utterance_id": STRING,
    "channel": STRING,
    "source_channel": STRING,
    "speaker": STRING,
    "start": SECONDS,
    "end": SECONDS,
    "source_start": SECONDS,
    "source_end": SECONDS,
    "kind": STRING,
    "status": STRING,
    "reason": STRING,
    "event": STRING,
    "source_event": STRING,
    "text_raw": STRING,
    "text": STRING,
    "tagged_text": STRING,
    "text_reason": STRING,
    "language": STRING,
    "confidence": MEASURE,
    "models": {"recogniser": STRING, "affect": STRING},
    "context_seconds": MEASURE,
    "tag": STRING,
    "rule": STRING,
    **dict.fromkeys(AFFECT, MEASURE),
    **dict.fromkeys(PROSODY, MEASURE),
    **{f"{name}_bucket": STRING for name in _BUCKETS},
    "synthesis": SYNTHESIS,
}

#: A word on the rebuilt timeline. `speaker`: `left` or `right`. `source`: `given`, `recogniser`, `synthesiser`,
#: `recognised-synthesis` or `proportional`: how its times are known. `probability`: that the transcript is right
#: about it, in [0, 1]; null where that is unknown, or a person wrote the word.
ALIGNED_WORD = {
    "word": STRING,
    "start": SECONDS,
    "end": SECONDS,
    "speaker": STRING,
    "source": STRING,
    "probability": MEASURE,
}

#: A laugh, breath or cough of the kept speaker (see `core.sounds`), who is on the right of the result: when it is
#: heard there, and when it was in the source. No utterance: it takes no floor.
SOUND = {
    "channel": STRING,
    "start": SECONDS,
    "end": SECONDS,
    "source_start": SECONDS,
    "source_end": SECONDS,
}

#: Turn-taking before and after, in seconds and ratios; what each means stands in `core.turns`.
TIMELINE = {
    "mode": STRING,
    "offset_median": SECONDS,
    "offset_p10": SECONDS,
    "offset_p90": SECONDS,
    "source_offset_median": SECONDS,
    "source_offset_p10": SECONDS,
    "source_offset_p90": SECONDS,
    "offset_distance": SECONDS,
    "overlap_seconds": SECONDS,
    "source_overlap_seconds": SECONDS,
    "overlap_kept": MEASURE,
    "backchannels": Value("int32"),
    "backchannels_kept": Value("int32"),
    "duration_ratio": MEASURE,
    "lost_speech_seconds": SECONDS,
    "lost_sound_seconds": SECONDS,
    "loudness_gain_db": MEASURE,
    "loudness_missing_db": MEASURE,
}

BUILT = Features(
    {
        "conversation_id": STRING,
        "recording_id": STRING,
        "audio": AUDIO,
        "sample_rate": Value("int32"),
        "duration": SECONDS,
        "source_duration": SECONDS,
        "language": STRING,
        "utterances": List(UTTERANCE),
        "alignments": List(ALIGNED_WORD),
        "sounds": List(SOUND),
        "speakers": {"left": STRING, "right": STRING},
        "timeline": TIMELINE,
        "provenance": STRING,
    }
)
