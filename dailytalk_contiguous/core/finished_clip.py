"""A finished clip of an expressive corpus: what a row of `clips/` holds, and the annotation beside a WAV.

What does not apply or isn't known is null. A copy is not measured again, so its prosody and its quality are null;
its labels, affect and tag are those of its source, which `core.copies` sees to.
"""

from collections.abc import Mapping
from typing import Any

from datasets import Features, List, Value

from dailytalk_contiguous.core.copies import COPY
from dailytalk_contiguous.core.quality import NAMES
from dailytalk_contiguous.core.schema import AFFECT, AUDIO, MEASURE, PROSODY, SECONDS, STRING

#: A word in seconds of the finished clip; `source` tells how its times are known (`stages.clip_words`).
TIMED_WORD = {"word": STRING, "start": SECONDS, "end": SECONDS, "source": STRING}

#: How a source was conditioned (`stages.condition`).
CONDITIONING = {
    "clip_start": SECONDS,
    "trim_start": SECONDS,
    "trim_end": SECONDS,
    "gain_db": MEASURE,
    "noise_reduced_db": MEASURE,
    "loudness_lufs_after": MEASURE,
    "true_peak_dbtp_after": MEASURE,
}

#: What is told of a clip before it is conditioned. `style_source` is `label` or `rule` (null without a style),
#: `affect.source` `raters` or the model; `weight` is how often a trainer should see it.
TOLD = {
    "id": STRING,
    "corpus": STRING,
    "text": STRING,
    "text_source": STRING,
    "language": STRING,
    "speaker": STRING,
    "gender": STRING,
    "age": Value("int32"),
    "sentence": STRING,
    "sentence_type": STRING,
    "length": STRING,
    "emotion": STRING,
    "label": STRING,
    "perceived": STRING,
    "perceived_label": STRING,
    "act": STRING,
    "agreement": MEASURE,
    "perceived_intensity": MEASURE,
    "intensity": STRING,
    "style": STRING,
    "style_source": STRING,
    "affect": {**dict.fromkeys(AFFECT, MEASURE), "source": STRING},
    "prosody": dict.fromkeys(PROSODY, MEASURE),
    "quality": dict.fromkeys(NAMES, MEASURE),
    "tag": STRING,
    "rule": STRING,
    "official_split": STRING,
    "split": STRING,
    "weight": MEASURE,
    **COPY,
    "prompt_id": STRING,
    "licence": STRING,
    "audio_file": STRING,
}

#: `duration` is that of the audio, with a prompt before the clip; `conversation_id` is the id: shards find their
#: rows by it.
FINISHED = Features(
    {
        "conversation_id": STRING,
        **TOLD,
        "audio": AUDIO,
        "sample_rate": Value("int32"),
        "duration": SECONDS,
        "words": List(TIMED_WORD),
        "conditioning": CONDITIONING,
    }
)


def own_seconds(row: Mapping[str, Any]) -> float:
    """Seconds of a finished clip without the prompt before it, for whoever counts what an emotion has."""
    return float(row["duration"] - ((row.get("conditioning") or {}).get("clip_start") or 0.0))
