"""The JSON of speech services and local recognisers, each document as its reference shows it."""

import json
from pathlib import Path
from typing import Any

import pytest
from recordings import save

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.conversation import Cue
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.recordings import LeftOut
from dailytalk_contiguous.sources.services import written_seconds
from dailytalk_contiguous.sources.transcripts import read_transcripts


def read(folder: Path, document: object, recording: str = "call.wav", name: str = "call.json") -> list[Cue]:
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return read_transcripts([path], recording)


def spoken(cues: list[Cue]) -> list[tuple[str, str, float, float]]:
    """Channel, text, start and end of each word, and of each cue without words."""
    read_words = []
    for cue in cues:
        for word in cue.words or [Word(cue.text, cue.start, cue.end)]:
            read_words.append((cue.channel, word.word, round(word.start, 3), round(word.end, 3)))
    return read_words


def saying(left: str, right: str) -> list[tuple[str, str, float, float]]:
    """The conversation that every document has, on sides of these names."""
    return [(left, "Hi", 0.5, 0.7), (left, "there.", 0.8, 1.1), (right, "Yes.", 1.25, 1.4)]


SIDES = saying("left", "right")
PHRASES = [("left", "Hi there.", 0.5, 1.1), ("right", "Yes.", 1.25, 1.4)]


def timed(text: str, start: Any, end: Any, names: str, **more: Any) -> dict[str, Any]:
    """An item whose text, start and end have these names."""
    return dict(zip(names.split(), (text, start, end), strict=True)) | more


def three_words(names: str, scale: float = 1) -> list[dict[str, Any]]:
    times = [("Hi", 0.5, 0.7), ("there.", 0.8, 1.1), ("Yes.", 1.25, 1.4)]
    return [timed(text, start * scale, end * scale, names) for text, start, end in times]


def two_phrases(names: str, scale: float = 1, words: str = "", key: str = "words") -> list[dict[str, Any]]:
    """Phrases with these names, and with words of these names under a key."""
    phrases = [
        timed("Hi there.", 0.5 * scale, 1.1 * scale, names),
        timed("Yes.", 1.25 * scale, 1.4 * scale, names),
    ]
    if words:
        listed = three_words(words, scale)
        phrases[0][key] = listed[:2]
        phrases[1][key] = listed[2:]
    return phrases


def with_each(items: list[dict[str, Any]], key: str, values: list[Any]) -> list[dict[str, Any]]:
    return [item | {key: value} for item, value in zip(items, values, strict=True)]


WORDS = "punctuated_word start end"

DEEPGRAM = {
    "metadata": {"request_id": "0"},
    "results": {
        "channels": [
            {"detected_language": "en", "alternatives": [{"words": three_words(WORDS)[:2]}]},
            {"detected_language": "en", "alternatives": [{"words": three_words(WORDS)[2:]}]},
        ]
    },
}

AMAZON_ITEMS = [
    {"type": "pronunciation", "start_time": "0.5", "end_time": "0.7", "alternatives": [{"content": "Hi"}]},
    {"type": "pronunciation", "start_time": "0.8", "end_time": "1.1", "alternatives": [{"content": "there"}]},
    {"type": "punctuation", "alternatives": [{"confidence": "0.0", "content": "."}]},
    {"type": "pronunciation", "start_time": "1.25", "end_time": "1.4", "alternatives": [{"content": "Yes"}]},
    {"type": "punctuation", "alternatives": [{"confidence": "0.0", "content": "."}]},
]
AMAZON_CHANNELS = [
    {"channel_label": "ch_0", "items": AMAZON_ITEMS[:3]},
    {"channel_label": "ch_1", "items": AMAZON_ITEMS[3:]},
]
AMAZON_SEGMENTS = [
    {"speaker_label": "spk_0", "items": [{"speaker_label": "spk_0", "start_time": "0.5"}]},
    {"speaker_label": "spk_0", "items": [{"speaker_label": "spk_0", "start_time": "0.8"}]},
    {"speaker_label": "spk_1", "items": [{"speaker_label": "spk_1", "start_time": "1.25"}]},
]


def speechmatics(text: str, start: float, end: float, channel: int, kind: str = "word") -> dict[str, Any]:
    alternatives = [{"content": text, "confidence": 0.9, "language": "en", "speaker": "UU"}]
    return {
        "type": kind,
        "start_time": start,
        "end_time": end,
        "channel": f"channel_{channel}",
        "alternatives": alternatives,
    }


def rev(text: str, start: float, end: float) -> list[dict[str, Any]]:
    word = {"type": "text", "value": text.rstrip("."), "ts": start, "end_ts": end}
    return [word, {"type": "punct", "value": "." if text.endswith(".") else " "}]


LABEL_STUDIO_RESULT = [
    {"id": "a", "type": "labels", "value": {"start": 0.5, "end": 1.1, "channel": 0, "labels": ["Speaker 1"]}},
    {"id": "b", "type": "labels", "value": {"start": 1.25, "end": 1.4, "channel": 0, "labels": ["Speaker 2"]}},
    {"id": "b", "type": "textarea", "value": {"start": 1.25, "end": 1.4, "channel": 0, "text": ["Yes."]}},
    {"id": "a", "type": "textarea", "value": {"start": 0.5, "end": 1.1, "channel": 0, "text": ["Hi there."]}},
]


def label_studio(audio: str) -> dict[str, Any]:
    annotations = [{"was_cancelled": True, "result": []}, {"result": LABEL_STUDIO_RESULT}]
    return {"annotations": annotations, "data": {"audio": audio}}


def google(names: str, unit: str = "s") -> list[dict[str, Any]]:
    word, start, end = names.split()
    return [
        {word: item["text"], start: f"{item['start']}{unit}", end: f"{item['end']}{unit}"}
        for item in three_words("text start end")
    ]


def results(words: list[dict[str, Any]], channel_key: str) -> list[dict[str, Any]]:
    return [
        {"alternatives": [{"transcript": "Hi there.", "words": words[:2]}], channel_key: 1},
        {"alternatives": [{"transcript": "Yes.", "words": words[2:]}], channel_key: 2},
    ]


def whisper_cpp(*tokens: tuple[str, int, int]) -> list[dict[str, Any]]:
    return [{"text": text, "offsets": {"from": start, "to": end}, "p": 0.9} for text, start, end in tokens]


WHISPER_CPP = [
    {
        "text": " Hi there.",
        "offsets": {"from": 500, "to": 1100},
        "speaker": "0",
        "tokens": whisper_cpp(
            ("[_BEG_]", 500, 500), (" Hi", 500, 700), (" the", 800, 900), ("re", 900, 1000), (".", 1000, 1100)
        ),
    },
    {
        "text": " Yes.",
        "offsets": {"from": 1250, "to": 1400},
        "speaker": "1",
        "tokens": whisper_cpp((" Yes.", 1250, 1400), ("[_TT_70]", 1400, 1400)),
    },
]
WHISPER_CPP_PHRASES = [{key: line[key] for key in ("text", "offsets", "speaker")} for line in WHISPER_CPP]


def azure(text: str, start: float, end: float) -> dict[str, Any]:
    return {"displayText": text, "offset": f"PT{start}S", "duration": f"PT{round(end - start, 3)}S"}


def azure_phrase(channel: int, words: list[dict[str, Any]]) -> dict[str, Any]:
    display = " ".join(word["displayText"] for word in words)
    return {
        "recognitionStatus": "Success",
        "channel": channel,
        "offset": words[0]["offset"],
        "duration": "PT0.6S" if channel == 0 else "PT0.15S",
        "nBest": [{"display": display, "displayWords": words}],
    }


MS = "text start end"
FAST = "text offsetMilliseconds durationMilliseconds"
AZURE_FAST = [
    timed(
        "Hi there.",
        500,
        600,
        FAST,
        channel=0,
        words=[timed("Hi", 500, 200, FAST), timed("there.", 800, 300, FAST)],
    ),
    timed("Yes.", 1250, 150, FAST, channel=1, words=[timed("Yes.", 1250, 150, FAST)]),
]
CONTACT_LENS = "Content BeginOffsetMillis EndOffsetMillis"
TWILIO = "transcript start_time end_time"
A_CHUNK = {"timestamp": [0.5, 1.1], "text": " Hi there."}
CHUNKS = [A_CHUNK, {"timestamp": [1.25, 1.4], "text": " Yes."}]

# Records of voice agents

#: Of the clock of a server: 12:00 on 31 January 2026.
NOON = 1_769_860_800


def retell(call_id: str = "call_0") -> dict[str, Any]:
    hi, there, yes = three_words("word start end")
    lines = [
        {"role": "agent", "content": "Hi there.", "words": [hi | {"word": "Hi "}, there]},
        {"role": "user", "content": "Yes.", "words": [yes]},
    ]
    call = {"call_id": call_id, "start_timestamp": 1000 * NOON, "transcript": "Agent: Hi there.\nUser: Yes."}
    return call | {"transcript_object": lines, "recording_url": None}


VAPI = [
    {"role": "system", "message": "You are an agent.", "time": 1000 * NOON, "secondsFromStart": 0},
    {"role": "bot", "message": "Hi there.", "secondsFromStart": 0.5, "duration": 600},
    {"role": "tool_calls", "toolCalls": [{"id": "call_0"}], "message": "", "secondsFromStart": 1.15},
    {"role": "user", "message": "Yes.", "secondsFromStart": 1.25, "duration": 150},
    {"role": "tool_call_result", "name": "look_up", "result": "free", "secondsFromStart": 2.0},
]
ELEVENLABS_AGENTS = [
    {"role": "agent", "message": "Hi there.", "time_in_call_secs": 0, "source_medium": None},
    {"role": "agent", "message": None, "time_in_call_secs": 0, "tool_calls": [{"tool_name": "look_up"}]},
    {"role": "user", "message": "typed in", "time_in_call_secs": 0, "source_medium": "text"},
    {"role": "user", "message": "Yes.", "time_in_call_secs": 1, "source_medium": "audio"},
]


def livekit(role: str, text: str, start: float, end: float) -> dict[str, Any]:
    metrics = {"started_speaking_at": NOON + start, "stopped_speaking_at": NOON + end}
    item = {"id": "item_0", "type": "message", "role": role, "content": [text], "interrupted": False}
    return item | {"created_at": NOON + end + 0.6, "metrics": metrics}


LIVEKIT_ITEMS = [
    {"id": "item_1", "type": "agent_handoff", "new_agent_id": "agent", "created_at": NOON - 0.5},
    {"id": "item_2", "type": "message", "role": "system", "content": ["Be kind."], "created_at": NOON - 0.5},
    livekit("assistant", "Hi there.", 0.5, 1.1),
    {"id": "item_3", "type": "function_call", "name": "look_up", "arguments": "{}", "created_at": NOON + 1.2},
    livekit("user", "Yes.", 1.25, 1.4),
]
LIVEKIT = {
    "job_id": "AJ_0",
    "audio_recording_started_at": float(NOON),
    "chat_history": {"items": LIVEKIT_ITEMS},
    "timestamp": 1000 * NOON,
}
PIPECAT = [
    {"role": "assistant", "content": "Hi there.", "timestamp": "2026-01-31T12:00:00.500+00:00"},
    {"role": "user", "content": "Yes.", "timestamp": "2026-01-31T12:00:01.250+00:00", "user_id": ""},
]
BLAND_LINES = [
    {"id": 1, "created_at": "2026-01-31T12:00:00.5+00:00", "text": "Hi there.", "user": "assistant", "c_id": "0"},
    {"id": 2, "created_at": "2026-01-31T13:00:01.25+01:00", "text": "Yes.", "user": "user", "c_id": "0"},
    {"id": 3, "created_at": "2026-01-31T12:00:01.3Z", "text": "Ended call", "user": "agent-action", "c_id": "0"},
]
BLAND = {
    "call_id": "0",
    "created_at": "2026-01-31T11:59:50+00:00",
    "started_at": "2026-01-31T12:00:00.000Z",
    "transcripts": BLAND_LINES,
}


def agents(agent: str, first: tuple[float, float], last: tuple[float, float]) -> list[tuple[Any, ...]]:
    return [(f"?{agent}", "Hi there.", *first), ("?user", "Yes.", *last)]


DOCUMENTS: dict[str, tuple[Any, list[tuple[str, str, float, float]]]] = {
    "Deepgram": (DEEPGRAM, SIDES),
    "Deepgram, utterances": (
        {
            "results": {
                "utterances": with_each(two_phrases("transcript start end", words=WORDS), "channel", [0, 1])
            }
        },
        SIDES,
    ),
    "AssemblyAI, channels": (
        {
            "audio_url": "x",
            "utterances": [
                phrase | {"channel": channel, "confidence": 0.9}
                for phrase, channel in zip(two_phrases(MS, 1000, MS), ("1", "2"), strict=True)
            ],
        },
        SIDES,
    ),
    "AssemblyAI, speakers": (
        {
            "audio_duration": 2,
            "utterances": None,
            "words": [
                word | {"speaker": speaker, "confidence": 0.9}
                for word, speaker in zip(three_words(MS, 1000), "AAB", strict=True)
            ],
        },
        saying("?speaker A", "?speaker B"),
    ),
    "Amazon, channels": (
        {"results": {"transcripts": [], "channel_labels": {"channels": AMAZON_CHANNELS}, "items": AMAZON_ITEMS}},
        SIDES,
    ),
    "Amazon, speakers of segments": (
        {"results": {"transcripts": [], "items": AMAZON_ITEMS, "speaker_labels": {"segments": AMAZON_SEGMENTS}}},
        saying("?spk_0", "?spk_1"),
    ),
    "Contact Lens": (
        {
            "Transcript": with_each(
                two_phrases(CONTACT_LENS, 1000, CONTACT_LENS, "Items"), "ParticipantRole", ["AGENT", "CUSTOMER"]
            )
        },
        saying("?AGENT", "?CUSTOMER"),
    ),
    "Azure, batch": (
        {
            "recognizedPhrases": [
                azure_phrase(0, [azure("Hi", 0.5, 0.7), azure("there.", 0.8, 1.1)]),
                azure_phrase(1, [azure("Yes.", 1.25, 1.4)]),
                {"recognitionStatus": "NoMatch", "channel": 1, "offset": "PT2S", "duration": "PT1S", "nBest": []},
            ]
        },
        SIDES,
    ),
    "Azure, fast": ({"durationMilliseconds": 2000, "phrases": AZURE_FAST}, SIDES),
    "Google, v1": ({"results": results(google("word startTime endTime"), "channelTag")}, SIDES),
    "Google, v2": ({"results": results(google("word startOffset endOffset"), "channelTag")}, SIDES),
    "Google, Python": ({"results": results(google("word start_time end_time"), "channel_tag")}, SIDES),
    "Speechmatics": (
        {
            "results": [
                speechmatics("Hi", 0.5, 0.7, 1),
                speechmatics("there", 0.8, 1.1, 1),
                speechmatics(".", 1.1, 1.1, 1, "punctuation"),
                speechmatics("Yes", 1.25, 1.4, 2),
                speechmatics(".", 1.4, 1.4, 2, "punctuation"),
            ]
        },
        SIDES,
    ),
    "ElevenLabs": (
        {
            "language_code": "eng",
            "words": [
                *with_each(three_words(MS), "type", ["word"] * 3)[:1],
                {"text": " ", "start": 0.7, "end": 0.8, "type": "spacing"},
                *with_each(three_words(MS), "type", ["word"] * 3)[1:],
            ],
        },
        saying("?", "?"),
    ),
    "ElevenLabs, channels": (
        {
            "transcripts": [
                {
                    "language_code": "eng",
                    "channel_index": 0,
                    "words": with_each(three_words(MS)[:2], "type", ["word"] * 2),
                },
                {
                    "language_code": "eng",
                    "channel_index": 1,
                    "words": with_each(three_words(MS)[2:], "type", ["word"]),
                },
            ]
        },
        SIDES,
    ),
    "Rev": (
        {
            "monologues": [
                {"speaker": 0, "elements": [*rev("Hi", 0.5, 0.7), *rev("there.", 0.8, 1.1)]},
                {"speaker": 1, "elements": rev("Yes.", 1.25, 1.4)},
            ]
        },
        saying("?speaker 0", "?speaker 1"),
    ),
    "Twilio": (
        {"sentences": with_each(two_phrases(TWILIO, words="word start_time end_time"), "media_channel", [1, 2])},
        SIDES,
    ),
    "podcast-namespace": (
        {
            "version": "1.0.0",
            "segments": with_each(two_phrases("body startTime endTime"), "speaker", ["Ann", "Bo"]),
        },
        [("?Ann", "Hi there.", 0.5, 1.1), ("?Bo", "Yes.", 1.25, 1.4)],
    ),
    "Gladia": (
        {
            "result": {
                "transcription": {
                    "utterances": with_each(two_phrases(MS, words="word start end"), "channel", [0, 1])
                }
            }
        },
        SIDES,
    ),
    "Label Studio": (
        [label_studio("/data/upload/1/0a1b2c3d-call.wav")],
        [("?Speaker 1", "Hi there.", 0.5, 1.1), ("?Speaker 2", "Yes.", 1.25, 1.4)],
    ),
    "whisper.cpp, -oj": ({"transcription": WHISPER_CPP_PHRASES}, PHRASES),
    "whisper.cpp, -ojf": ({"transcription": WHISPER_CPP}, SIDES),
    "Hugging Face, phrases": ({"text": "", "chunks": CHUNKS}, [("?", *phrase[1:]) for phrase in PHRASES]),
    "Hugging Face, words": (
        {
            "chunks": [
                {"text": f" {item['text']}", "timestamp": [item["start"], item["end"]]} for item in three_words(MS)
            ]
        },
        saying("?", "?"),
    ),
    "insanely-fast-whisper": (
        {"speakers": with_each(CHUNKS, "speaker", ["SPEAKER_00", "SPEAKER_01"]), "chunks": CHUNKS},
        [("?SPEAKER_00", "Hi there.", 0.5, 1.1), ("?SPEAKER_01", "Yes.", 1.25, 1.4)],
    ),
    "insanely-fast-whisper, nobody": (
        {"speakers": [], "chunks": CHUNKS},
        [("?", *phrase[1:]) for phrase in PHRASES],
    ),
    "whisper-timestamped": ({"segments": two_phrases(MS, words=MS)}, saying("?", "?")),
    "stable-ts": ({"segments": two_phrases(MS, words="word start end"), "ori_dict": {}}, saying("?", "?")),
    "OpenAI, segments": ({"words": three_words("word start end"), "segments": two_phrases(MS)}, saying("?", "?")),
    "OpenAI, words": ({"text": "", "words": three_words("word start end")}, saying("?", "?")),
    "Vosk": (
        {"result": with_each(three_words("word start end"), "conf", [1.0] * 3), "text": ""},
        saying("?", "?"),
    ),
    "NeMo, diarised": (
        {"words": with_each(three_words("word start_time end_time"), "speaker_label", ["s0", "s0", "s1"])},
        saying("?s0", "?s1"),
    ),
    "Retell": (retell(), saying("?agent", "?user")),
    "Retell, webhook": ({"event": "call_ended", "call": retell()}, saying("?agent", "?user")),
    "Vapi": ({"id": "0", "artifact": {"messages": VAPI}}, agents("bot", (0.5, 1.1), (1.25, 1.4))),
    "Vapi, report": (
        {"message": {"type": "end-of-call-report", "call": {"id": "0"}, "artifact": {"messages": VAPI}}},
        agents("bot", (0.5, 1.1), (1.25, 1.4)),
    ),
    "ElevenLabs Agents": ({"transcript": ELEVENLABS_AGENTS}, agents("agent", (0.0, 1.0), (1.0, 1.267))),
    "ElevenLabs Agents, webhook": (
        {"type": "post_call_transcription", "data": {"conversation_id": "0", "transcript": ELEVENLABS_AGENTS}},
        agents("agent", (0.0, 1.0), (1.0, 1.267)),
    ),
    "LiveKit Agents": (LIVEKIT, agents("assistant", (0.5, 1.1), (1.25, 1.4))),
    "Pipecat": (PIPECAT, agents("assistant", (0.0, 0.75), (0.75, 1.017))),
    "Pipecat, lines": (
        "\n".join(map(json.dumps, PIPECAT)),
        agents("assistant", (0.0, 0.75), (0.75, 1.017)),
    ),
    "Bland": (BLAND, agents("assistant", (0.5, 1.25), (1.25, 1.517))),
    "NeMo, timestamps": ({"timestamp": {"word": three_words("word start end")}, "text": ""}, saying("?", "?")),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_words_times_and_sides_of_a_service_are_read(tmp_path: Path, name: str) -> None:
    document, expected = DOCUMENTS[name]
    assert spoken(read(tmp_path, document)) == expected


def test_nothing_but_what_is_said_is_read(tmp_path: Path) -> None:
    document = DEEPGRAM | {"caller": "+1 415 555 0100", "account": "ann@example.com", "metadata": {"tags": ["x"]}}
    cues = read(tmp_path, document)
    assert cues == read(tmp_path, DEEPGRAM)
    assert {cue.language for cue in cues} == {"en"}


@pytest.mark.parametrize(
    ("value", "scale", "seconds"),
    [
        (1200, 0.001, 1.2),
        (12_000_000, 1e-7, 1.2),
        ("1.200s", 0.001, 1.2),
        ("1200", 0.001, 1.2),
        ("PT1H1M1.25S", 1e-7, 3661.25),
        ("00:01:01,200", 1, 61.2),
        ("01:01.200", 1, 61.2),
        (None, 1, None),
    ],
)
def test_times_are_seconds_whatever_they_are_written_in(
    value: object, scale: float, seconds: float | None
) -> None:
    assert written_seconds(value, scale) == seconds


# What some documents leave out


def test_google_leaves_out_zero_and_repeats_all_words_with_their_speakers(tmp_path: Path) -> None:
    words = google("word startTime endTime")
    del words[0]["startTime"]
    tagged = with_each(words, "speakerTag", [1, 1, 2])
    untagged = with_each(words, "speakerTag", [0, 0, 0])
    document = {"results": [{"alternatives": [{"words": untagged}]}, {"alternatives": [{"words": tagged}]}]}
    first, *others = saying("?speaker 1", "?speaker 2")
    assert spoken(read(tmp_path, document)) == [(*first[:2], 0.0, 0.7), *others]


def test_google_with_words_in_some_results_only_loses_no_text(tmp_path: Path) -> None:
    spoken_words = google("word startTime endTime")[:2]
    with_words = {"transcript": "Hi there.", "words": spoken_words}
    listed = [
        {"alternatives": [with_words], "channelTag": 1, "resultEndTime": "1.1s"},
        {"alternatives": [{"transcript": "Yes."}], "channelTag": 2, "resultEndTime": "1.4s"},
    ]
    cues = read(tmp_path, {"results": listed})
    texts = {(cue.channel, cue.text) for cue in cues}
    assert texts == {("left", "Hi there."), ("right", "Yes.")}


def test_google_without_words_begins_where_the_channel_ended(tmp_path: Path) -> None:
    ends = [(1, "Hi", "1.5s"), (2, "Yes", "2s"), (1, "Good", "3.5s"), (2, "", "4s")]
    document = {
        "results": [
            {"alternatives": [{"transcript": text}], "channelTag": channel, "resultEndTime": end}
            for channel, text, end in ends
        ]
    }
    expected = [("left", "Hi", 0.0, 1.5), ("right", "Yes", 0.0, 2.0), ("left", "Good", 1.5, 3.5)]
    assert spoken(read(tmp_path, document)) == expected


def test_chunk_without_an_end_ends_where_the_next_begins_and_the_last_one_by_its_length(tmp_path: Path) -> None:
    document = {
        "chunks": [
            {"timestamp": [0.5, None], "text": " Hi there."},
            {"timestamp": [1.5, None], "text": " Yes I do"},
        ]
    }
    first, last = read(tmp_path, document)
    assert (first.start, first.end) == (0.5, 1.5)
    assert 1.9 < last.end < 2.5


def test_whisper_cpp_with_an_unsure_channel_leaves_that_line_to_the_sound(tmp_path: Path) -> None:
    lines = [*WHISPER_CPP_PHRASES, {"text": " Both now.", "offsets": {"from": 2000, "to": 2500}, "speaker": "?"}]
    assert spoken(read(tmp_path, {"transcription": lines})) == [*PHRASES, ("?", "Both now.", 2.0, 2.5)]


def test_whisper_cpp_with_a_token_a_line_gives_words(tmp_path: Path) -> None:
    tokens = whisper_cpp((" Hi", 500, 700), (" the", 800, 900), ("re", 900, 1000), (".", 1000, 1100))
    (cue,) = read(tmp_path, {"transcription": tokens})
    assert spoken([cue]) == saying("?", "?")[:2]


def test_words_of_openai_that_are_not_those_of_its_segments_count_alone(tmp_path: Path) -> None:
    segments = [{"start": 0.5, "end": 1.4, "text": "Hi their. Yes."}]
    cues = read(tmp_path, {"words": three_words("word start end"), "segments": segments})
    assert spoken(cues) == saying("?", "?")


@pytest.mark.parametrize("form", ["lines", "list", "one after the other"])
def test_vosk_writes_several_documents_in_any_form(tmp_path: Path, form: str) -> None:
    words = with_each(three_words("word start end"), "conf", [1.0] * 3)
    documents = [{"result": words[:2], "text": "hi there"}, {"text": ""}, {"result": words[2:], "text": "yes"}]
    if form == "list":
        text = json.dumps(documents)
    else:
        indent = None if form == "lines" else 2
        text = "\n".join(json.dumps(document, indent=indent) for document in documents)
    assert spoken(read(tmp_path, text)) == saying("?", "?")


def test_sounds_are_marks_and_what_stands_before_a_word_joins_it(tmp_path: Path) -> None:
    laughter = {"text": "(laughter)", "start": 2.0, "end": 2.5, "type": "audio_event"}
    words = [*with_each(three_words(MS), "type", ["word"] * 3), laughter]
    cues = read(tmp_path, {"language_code": "eng", "words": words})
    assert [(cue.mark, cue.start) for cue in cues if cue.mark] == [("laughter", 2.0)]
    opening = speechmatics("¿", 0.5, 0.5, 1, "punctuation") | {"attaches_to": "next"}
    (cue,) = read(tmp_path, {"results": [opening, speechmatics("Qué", 0.5, 0.7, 1)]})
    assert cue.text == "¿Qué"
    unknown = {"type": "unknown", "value": "<inaudible>"}
    monologue = {"speaker": 0, "elements": [*rev("Hi", 0.5, 0.7), unknown]}
    cues = read(tmp_path, {"monologues": [monologue]})
    assert [(cue.text, cue.mark) for cue in cues if cue.mark] == [(None, "inaudible")]


def test_label_studio_of_several_tasks_is_of_many_recordings(tmp_path: Path) -> None:
    other = {"annotations": [{"result": []}], "data": {"audio": "s3://bucket/other.wav"}}
    tasks = [label_studio("/data/local-files/?d=calls%2Fcall.wav"), other]
    name = "project-1-at-2026-01-31-12-00-0a1b2c3d.json"
    assert len(read(tmp_path, tasks, "calls/call.wav", name)) == 2
    assert read(tmp_path, tasks, "calls/third.wav", name) == []


# Records of voice agents


def test_who_speaks_over_whom_stays_as_an_agents_record_has_it(tmp_path: Path) -> None:
    talking = [livekit("assistant", "Hi there, how are you?", 0.5, 3.0), livekit("user", "Hi.", 1.0, 1.3)]
    cues = read(tmp_path, LIVEKIT | {"chat_history": {"items": talking}})
    assert [(cue.start, cue.end) for cue in cues] == [(0.5, 3.0), (1.0, 1.3)]
    long = "A line that takes as much as three seconds to say."
    lines = [{**PIPECAT[0], "content": long}, {**PIPECAT[1], "content": "Hm."}]
    spans = [(cue.start, round(cue.end, 2)) for cue in read(tmp_path, lines)]
    assert spans == [(0.0, 3.33), (0.75, 0.95)]


def test_a_line_without_an_end_ends_before_its_speakers_next_one(tmp_path: Path) -> None:
    lines = [{**PIPECAT[0], "content": 99 * "long "}, {**PIPECAT[1], "role": "assistant"}, PIPECAT[1]]
    first, *_ = read(tmp_path, lines)
    assert (first.start, first.end) == (0.0, 0.75)


@pytest.mark.parametrize(
    ("document", "starts"),
    [
        ({"messages": [VAPI[1] | {"duration": None}, VAPI[3]]}, [0.5, 1.25]),
        (LIVEKIT | {"audio_recording_started_at": None, "started_at": NOON - 1.0}, [1.5, 2.25]),
        (LIVEKIT | {"audio_recording_started_at": None}, [1.0, 1.75]),
        (
            LIVEKIT | {"chat_history": {"items": [LIVEKIT_ITEMS[2] | {"metrics": {}}, LIVEKIT_ITEMS[4]]}},
            [1.25, 1.7],
        ),
        (BLAND | {"started_at": None}, [0.0, 0.75]),
        (BLAND | {"started_at": "2026-01-31T12:00:01Z"}, [0.0, 0.25]),
        ({"event": "call_ended", "call": retell() | {"recording_url": None, "call_analysis": None}}, [0.5, 1.25]),
    ],
)
def test_null_in_a_voice_agents_record_is_as_good_as_nothing(
    tmp_path: Path, document: object, starts: list[float]
) -> None:
    assert [round(cue.start, 3) for cue in read(tmp_path, document)] == starts


def test_retells_line_without_words_begins_where_the_one_before_ended(tmp_path: Path) -> None:
    call = retell()
    call["transcript_object"].insert(1, {"role": "user", "content": "Hm.", "words": []})
    texts = [(cue.channel, cue.text, cue.start, cue.end) for cue in read(tmp_path, call)]
    assert texts[1] == ("?user", "Hm.", 1.1, 1.25)


def test_a_file_of_several_calls_is_read_by_their_ids(tmp_path: Path) -> None:
    other = retell("call_1")
    other["transcript_object"] = other["transcript_object"][:1]
    lines = "\n".join(json.dumps({"event": "call_ended", "call": call}) for call in (retell(), other))
    assert len(read(tmp_path, lines, "call_0.wav", "calls.manifest.jsonl")) == 2
    assert len(read(tmp_path, lines, "day/call_1.wav", "calls.manifest.jsonl")) == 1
    with pytest.raises(BadInput, match="is about 'call_0', 'call_1', not 'call"):
        read(tmp_path, lines, "call.wav", "call.jsonl")


# What can't be used


def changed(**values: Any) -> dict[str, Any]:
    """Deepgram's document with other values of its first word."""
    document: dict[str, Any] = json.loads(json.dumps(DEEPGRAM))
    document["results"]["channels"][0]["alternatives"][0]["words"][0].update(values)
    return document


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (changed(start=float("nan")), "its time is nan"),
        (changed(start="soon"), "its time is 'soon'"),
        (changed(start=True), "its time is True"),
        (changed(end=10**400), "its time is 1000"),
        (changed(end=None), "times are 0.5 to None"),
        (changed(punctuated_word=["Hi", 3]), "item 1 can't be used"),
        (changed(punctuated_word=""), "a word without a letter"),
        (changed(speaker={"name": "Ann"}), "its speaker is"),
        ({"results": {"channels": [{"alternatives": [{"words": []}]}]}}, "has no words"),
        ({"words": [{"word": "a", "start": 0}], "segments": [{"text": 5}]}, "as JSON of OpenAI"),
        ([{"annotations": [{"result": [3]}]}], "as JSON of Label Studio"),
        (BLAND | {"started_at": "noon"}, "its time is 'noon'"),
        (LIVEKIT | {"chat_history": {"items": [LIVEKIT_ITEMS[2] | {"content": 5}]}}, "its text is 5"),
        (json.dumps(DEEPGRAM)[:-30], "is not JSON"),
        ('{"chunks": ' + "[" * 100_000, "is not JSON"),
    ],
)
def test_damaged_document_is_refused_with_its_name(tmp_path: Path, document: object, reason: str) -> None:
    with pytest.raises(BadInput, match=f"(?s)call.json.*{reason}"):
        read(tmp_path, document)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (changed(start=-5), "times are -5.0"),
        (changed(end=1e12), "times are 0.5 to 1000000000000"),
        (changed(end=0.1), "times are 0.5 to 0.1"),
        (BLAND | {"started_at": "2026-01-31T12:00:02Z"}, "times are -1.5"),
    ],
)
def test_item_with_impossible_times_is_left_out_alone(tmp_path: Path, document: object, reason: str) -> None:
    (folder_row,) = rows_beside(tmp_path, json.dumps(document))[0]
    (unusable,) = [cue for cue in folder_row["cues"] if cue["mark_kind"] == "unusable"]
    assert "call.json" in unusable["mark"]
    assert reason in unusable["mark"]
    assert any(cue["text"] for cue in folder_row["cues"])


# JSON of something else


def rows_beside(folder: Path, text: str, **settings: Any) -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
    """The rows of a recording with a `call.json` of this text beside it, and what is not used."""
    save(folder / "call.wav")
    (folder / "call.json").write_text(text)
    left_out = LeftOut()
    config = FolderConfig(inputs=(str(folder),), language="en", **settings)
    return list(folder_rows(config, left_out)), left_out.unread


@pytest.mark.parametrize(
    "text",
    [
        '{"id": "call", "dnsmos": 3.2, "language": "en"}',
        '{"egress_id": "EG_0", "files": [{"filename": "call.ogg"}]}',
        '{"segments": "none"}',
        '["a", "b"]',
        '{"id": "call", "tags": ["a", "b',
    ],
)
def test_json_of_something_else_is_listed_and_the_recording_is_recognised(tmp_path: Path, text: str) -> None:
    (row,), unread = rows_beside(tmp_path, text)
    assert row["problem"] is None
    assert (row["cues"], row["transcripts"]) == ([], [])
    assert list(unread.values()) == [["call.json"]]
    assert "JSON" in next(iter(unread))


def test_other_transcripts_are_read_beside_json_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "call.left.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nHello.\n")
    (row,), unread = rows_beside(tmp_path, '{"id": "call"}')
    assert row["transcripts"] == ["call.left.srt"]
    assert unread == {"JSON of no known kind of transcript": ["call.json"]}


@pytest.mark.parametrize(
    "text", ["", "Dear diary", json.dumps(DEEPGRAM)[:200], '{"chunks": [{"timestamp": [0.5, ']
)
def test_damaged_transcript_beside_a_recording_stays_a_reject(tmp_path: Path, text: str) -> None:
    (row,), unread = rows_beside(tmp_path, text)
    assert "call.json" in row["problem"]
    assert unread == {}


def test_json_of_something_else_that_is_named_is_an_error(tmp_path: Path) -> None:
    (row,), _ = rows_beside(tmp_path, '{"id": "call"}', transcripts=str(tmp_path / "call.json"))
    assert "not a known kind of transcript" in row["problem"]
    assert "Deepgram" in row["remedy"]
