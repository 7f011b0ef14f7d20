"""The check of a WAV that a manifest for moshi-finetune names, and of the words beside it."""

from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core import documents
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.finding import Finding, error
from dailytalk_contiguous.core.records.schema import MAIN, OTHER
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.core.words.moshi_words import said_words
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.machine.audio import to_uri
from dailytalk_contiguous.machine.read_documents import read_json
from dailytalk_contiguous.publish.checks.findings import Loudness, loudness_of, word_findings
from dailytalk_contiguous.publish.checks.training_steps import CheckedFile, silent_seconds, trained_words
from dailytalk_contiguous.publish.exports.moshi_config import TrainerPlan, window_count
from dailytalk_contiguous.publish.items import DURATION_TOLERANCE

EXPORT_AGAIN = "export again with `dailytalk export`"


def check_file(
    name: str, wav: Path, seconds: float, plan: TrainerPlan, voices: tuple[str, ...]
) -> Generator[Finding, None, CheckedFile]:
    """Yield what is wrong with a file whose manifest says that it has so many seconds, and return what it is."""
    if not wav.is_file():
        yield error("missing-audio", name, "the manifest names it, but it isn't there", EXPORT_AGAIN)
        return CheckedFile(name)
    loudness, unreadable = loudness_of(name, lambda: {"bytes": None, "path": to_uri(wav)})
    yield from unreadable
    if loudness:
        yield from _sound_findings(name, seconds, loudness)
    words, is_clip = yield from _transcript_findings(name, wav, loudness, plan)
    is_silent_right = loudness is not None and loudness.channels > 1 and loudness.is_silent(1)
    file = CheckedFile(name, len(words), is_clip, is_silent_right, voices)
    if not loudness or not loudness.seconds:
        return file
    main_silent, both_silent = silent_seconds(loudness)
    return file._replace(
        windows=window_count([seconds], plan.duration_sec),
        seconds=loudness.seconds,
        trained_words=trained_words(words, loudness.seconds, plan.duration_sec),
        main_silent=main_silent,
        both_silent=both_silent,
    )


def _sound_findings(name: str, seconds: float, loudness: Loudness) -> Iterator[Finding]:
    if loudness.channels != 2:
        channels = counted(loudness.channels, "channel")
        problem = f"it has {channels}, not 2: training stops at the first batch with it"
        yield error("not-stereo", name, problem, EXPORT_AGAIN)
    trained_rate = 24000
    if loudness.sample_rate != trained_rate:
        problem = f"its rate is {loudness.sample_rate} Hz, not {trained_rate}: it is resampled without a message"
        yield error("wrong-rate", name, problem, "export it again without --sample-rate")
    if abs(loudness.seconds - seconds) > DURATION_TOLERANCE:
        problem = f"the manifest says {seconds:.3f} s, the audio has {loudness.seconds:.3f} s"
        yield error("wrong-duration", name, problem, EXPORT_AGAIN)
    if loudness.is_silent(0):
        remedy = "export it again, with the other --main?"
        yield error("silent-left", name, "the left channel, Moshi's, is silent", remedy)


def _transcript_findings(
    name: str, wav: Path, loudness: Loudness | None, plan: TrainerPlan
) -> Generator[Finding, None, tuple[list[Word], bool]]:
    """Yield what is wrong with the words beside a WAV; return them, and whether they are those of a clip.

    There are none if they can't be read.
    """
    shown = str(Path(name).with_suffix(".json"))
    document = wav.with_suffix(".json")
    if not document.exists():
        yield error("missing-alignments", shown, f"it isn't there beside {wav.name}", EXPORT_AGAIN)
        return [], False
    try:
        transcript = documents.typed(read_json(document), dict[str, Any], "it")
        words = said_words(transcript.get("alignments"), wav.name, EXPORT_AGAIN)
    except BadInput as failure:
        yield error("unreadable-alignments", shown, f"it can't be read ({failure.reason})", EXPORT_AGAIN)
        return [], False
    unknown = Counter(word.side for word in words if word.side not in (MAIN, OTHER))
    if unknown:
        names = [f"{documents.quoted(speaker)} ({count})" for speaker, count in unknown.most_common(3)]
        share = f"{unknown.total()} of {counted(len(words), 'word')}"
        problem = f"{share} have another speaker than {MAIN} or {OTHER}: {', '.join(names)}"
        problem += "; they are never trained"
        yield error("unknown-speaker", shown, problem, f"call Moshi's side {MAIN}")
    if not any(word.side == MAIN for word in words):
        problem = f"no word is {MAIN}'s: the model learns to speak without text"
        yield error("no-words", shown, problem, "transcribe it, or leave it out")
    if transcript.get("text_conditions") is not None and plan.stock_model:
        problem = "it has text_conditions, on which the stock model in moshi-finetune.yaml stops"
        remedy = "export without --text-conditions, or name a model with that conditioner as hf_repo_id"
        yield error("text-conditions", shown, problem, remedy)
    yield from word_findings(shown, words, loudness)
    return words, "id" in transcript
