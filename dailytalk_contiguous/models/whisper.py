"""Whisper through faster-whisper, the recogniser: windows of 30 s, each encoded once.

On a CPU each batch is computed by one thread, and as many batches side by side as there are threads: with two
threads CTranslate2 gives other word times than with one, and a row must be the same on any machine.

faster-whisper's own `transcribe` looks again at what is behind the last word of a window, which costs a second
pass of the encoder and invites inventions; its batched pipeline has no second try. Here a window is decoded once,
in a batch where that gains something (CUDA), and one whose text repeats itself is tried again without such
repeats. openai/whisper draws at random then, but CTranslate2 can't set its generator back to a seed, and a row
must be the same whenever it is made.

To recognise, the encoder always sees 30 s, as it was trained: windows as short as an utterance lost a third of the
words.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import numpy as np
import soxr
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing, ModelUnreachable
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.words.fillers import PROMPTS, USUAL
from dailytalk_contiguous.core.words.hallucination import COMPRESSION, LOW_LOGPROB, NO_SPEECH, compression_ratio
from dailytalk_contiguous.core.words.sentences import ends_sentence
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import fit_within
from dailytalk_contiguous.models import devices
from dailytalk_contiguous.models.checkpoints import Missing, hub_files, is_model_folder, stored_files
from dailytalk_contiguous.models.forks import loaded_once
from dailytalk_contiguous.models.hesitations import (
    Hesitation,
    HesitationPlace,
    bare_word,
    places_of_hesitations,
    with_hesitations,
)

if TYPE_CHECKING:
    from ctranslate2 import StorageView
    from faster_whisper import BatchedInferencePipeline, WhisperModel
    from faster_whisper.tokenizer import Tokenizer
    from faster_whisper.transcribe import TranscriptionOptions

#: The size that is used where none is named.
WHISPER = "medium"

#: The remedy for a folder that can't be used.
ANOTHER_WHISPER = "pass --asr-model with a size such as base or medium, or a folder in CTranslate2 format"

#: Seconds that the encoder sees.
ENCODER_SECONDS = 30.0

#: Lengths in tokens of the phrases that a second try may not say twice, one length after the other: a long one
#: ends most loops and leaves alone what people do repeat.
NO_REPEAT = (6, 4, 3)

#: Seconds of silence behind sound whose words are known. In 54 lines by Piper, half of the edges of words are
#: within 66 ms of their phonemes', nine in ten within 151 ms; with 30 s of sound and silence it is 65 and 145 ms.
ALIGNED_PADDING = 5.0

#: Frames that the times of known words are smoothed over, as in openai/whisper.
SMOOTHED_FRAMES = 7

#: The probability of a filler in one spelling from which the others are tried. With 0.003, three of 82 planted
#: fillers would be lost.
WORTH_ASKING = 0.0003

#: Frames in which times are found that nobody asks for.
FEWEST_FRAMES = 10

#: Marks that belong to the word behind them.
_PREPENDED = "\"'“¿([{-"

#: Marks that belong to the word before them.
_APPENDED = "\"'.。,，!！?？:：”)]}、"

#: Log-mel frames, shape (mels, frames), as faster-whisper makes them.
MelFrames = NDArray[np.float32]


class _TimedWord(TypedDict):
    """A word of faster-whisper, with times in seconds."""

    word: str
    start: float
    end: float
    probability: float


class _Segment(TypedDict, total=False):
    """A segment of a transcript, as faster-whisper makes it of what was decoded."""

    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    avg_logprob: float
    no_speech_prob: float
    words: list[_TimedWord]


#: The likeliest hesitation at each place of a window.
_Likeliest = dict[HesitationPlace, Hesitation]


class Recognised(NamedTuple):
    """The transcript of a window: words with times in its seconds, and how sure the recogniser was of it.

    The words are in order, inside the window, of positive length and without overlap.

    `avg_logprob` is the mean log probability of a token, `no_speech_prob` the probability that no one speaks;
    both are NaN if nothing was recognised. `cut_off` says that the text is as long as it can be for one window, so
    that words may be missing at its end.
    """

    words: list[Word]
    avg_logprob: float
    no_speech_prob: float
    cut_off: bool = False


class Whisper:
    """A loaded model. Its methods may be called from several threads at once.

    `batch_windows` is the number of windows in one call on CUDA. A thread of a CPU takes one: batches of windows
    gain nothing there. Threads share the weights. `early` is by how many seconds its words begin and end too early
    (see `EARLY`).
    """

    def __init__(
        self,
        folder: str,
        device: str,
        compute_type: str,
        beam: int,
        batch_windows: int,
        early: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        from faster_whisper import WhisperModel
        from scipy.sparse import csr_array

        device = devices.resolve_device(device)
        compute_type = devices.compute_type_of(device, compute_type)
        if device == "cuda":
            devices.open_libraries()
        side_by_side = devices.thread_count() if device == "cpu" else 1
        threads = {"cpu_threads": 1, "num_workers": side_by_side}
        load = partial(WhisperModel, folder, device=device, compute_type=compute_type, **threads)
        try:
            self._model = devices.within_memory(load, f"the Whisper model in {folder}")
        except (DailytalkError, MemoryError):
            raise
        except Exception as error:  # CTranslate2 raises RuntimeError and ValueError, tokenizers Exception itself
            reason = f"the Whisper model in {folder} does not load ({error})"
            raise ModelMissing(reason, ANOTHER_WHISPER) from error
        # Dense, they are multiplied by NumPy's BLAS, whose last bits, and so the words, differ with its threads.
        extractor = self._model.feature_extractor
        extractor.mel_filters = csr_array(extractor.mel_filters)
        self._threads = ThreadPoolExecutor(side_by_side, "whisper") if device == "cpu" else None
        self._beam = beam
        windows_at_once = batch_windows if device == "cuda" else 1
        self._batch_seconds = ENCODER_SECONDS * windows_at_once
        self._room = devices.Room()
        self._early = early

    @devices.naming_libraries()
    def detect_languages(self, windows: Sequence[Samples]) -> list[str]:
        """ISO 639-1 code of the language of each window of 16 kHz; a model for one language gives that."""
        if not self._model.model.is_multilingual:
            return ["en"] * len(windows)

        def detect(batch: Sequence[Samples]) -> list[str]:
            return [str(self._model.detect_language(audio=window)[0]) for window in batch]

        seconds = [ENCODER_SECONDS] * len(windows)
        return devices.run_batched(windows, seconds, ENCODER_SECONDS, detect, self._room, pool=self._threads)

    @devices.naming_libraries()
    def transcribe(
        self, windows: Sequence[Samples], languages: Sequence[str], fillers: bool = False
    ) -> list[Recognised]:
        """Words of each window of at most 30 s, in the language of its ISO 639-1 code.

        It was trained to leave out most fillers and repeats; with `fillers` they are looked for (see
        `_with_hesitations`).
        """

        def recognise(batch: list[int]) -> Sequence[Recognised]:
            batch_windows = [windows[index] for index in batch]
            return self._transcribe(batch_windows, languages[batch[0]], fillers)

        indices = range(len(windows))
        seen = [ENCODER_SECONDS] * len(windows)
        return devices.run_batched(
            indices, seen, self._batch_seconds, recognise, self._room, languages, self._threads
        )

    @devices.naming_libraries()
    def align(
        self, windows: Sequence[Samples], languages: Sequence[str], texts: Sequence[Sequence[str]]
    ) -> list[list[Word] | None]:
        """The times of known words in each window; None for one of over 30 s, or more words than the model takes.

        Nothing is searched: one pass of the encoder, and one of the decoder over the text, whose cross-attention
        says when each token is said (openai/whisper, `find_alignment`). The encoder sees `ALIGNED_PADDING` of
        silence behind the sound and not 30 s, which takes a tenth of the time and costs no accuracy.
        """

        def align_batch(batch: list[int]) -> Sequence[list[Word] | None]:
            return [self._align(windows[index], languages[index], texts[index]) for index in batch]

        indices = range(len(windows))
        seen = [ENCODER_SECONDS] * len(windows)
        return devices.run_batched(indices, seen, ENCODER_SECONDS, align_batch, self._room, pool=self._threads)

    def _features(self, windows: Sequence[Samples], seconds: float = ENCODER_SECONDS) -> NDArray[np.float32]:
        """Log-mel frames of windows, (windows, mels, frames), of so many seconds each."""
        from faster_whisper.audio import pad_or_trim

        extract = self._model.feature_extractor
        n_frames = round(min(seconds, ENCODER_SECONDS) * self._model.frames_per_second)
        frames = [pad_or_trim(extract(window)[..., :-1], n_frames) for window in windows]
        return np.stack(frames)

    def _tokenizer(self, language: str) -> "Tokenizer":
        from faster_whisper.tokenizer import Tokenizer

        is_multilingual = self._model.model.is_multilingual
        language = language if is_multilingual else "en"
        return Tokenizer(self._model.hf_tokenizer, is_multilingual, task="transcribe", language=language)

    def _transcribe(self, windows: Sequence[Samples], language: str, fillers: bool) -> list[Recognised]:
        features = self._features(windows)
        tokenizer = self._tokenizer(language)
        options = self._options(tokenizer)
        stretches = [{"offset": 0.0, "duration": len(window) / ANALYSIS_RATE} for window in windows]
        # One a call: it remembers when the last word ended, and batches run side by side.
        pipeline = _encoding_once(self._model)
        transcripts = pipeline.forward(features, tokenizer, stretches, options)
        recognised: list[Recognised] = []
        for frames, stretch, segments in zip(features, stretches, transcripts, strict=True):
            text = "".join(segment["text"] for segment in segments).strip()
            if compression_ratio(text or " ") > COMPRESSION:  # Whisper's check for loops
                result = self._without_repetition(frames, stretch["duration"], tokenizer, options)
            else:
                result = self._recognised(segments, stretch["duration"])
            recognised.append(result)
        if not fillers or language not in PROMPTS:
            return recognised
        asked = _EncodedWindows(recognised, pipeline.encoded, tokenizer, language)
        return self._with_hesitations(windows, asked)

    def _with_hesitations(self, windows: Sequence[Samples], asked: "_EncodedWindows") -> list[Recognised]:
        """Return the transcripts with the fillers that were said, and the words that were said twice.

        Where a speaker may hesitate (`models.hesitations`), the filler or the repeat is put into the text, a
        filler once in each of its usual spellings, and the model says how likely it is behind a text that
        hesitates: one pass of the decoder, in which nothing is searched, over what is encoded anyway. Asked for a
        text, it writes ten times as many fillers as there are.
        """
        places = [
            places_of_hesitations(window, result.words, asked.language)
            for window, result in zip(windows, asked.recognised, strict=True)
        ]
        if not any(places):
            return [*asked.recognised]
        first_spelling, *others = USUAL[asked.language]
        likeliest: list[_Likeliest] = []
        probabilities = self._probabilities(asked, places, first_spelling)
        for candidates, in_window in zip(places, probabilities, strict=True):
            pairs = zip(candidates, in_window, strict=True)
            likeliest.append({candidate: Hesitation(candidate, first_spelling, p) for candidate, p in pairs})
        for spelling in others:
            undecided: list[list[HesitationPlace]] = []  # by window: where another spelling may be likelier
            for best in likeliest:
                undecided.append([])
                for candidate, hesitation in best.items():
                    if hesitation.probability >= WORTH_ASKING and not candidate.repeated:
                        undecided[-1].append(candidate)
            if not any(undecided):
                break
            probabilities = self._probabilities(asked, undecided, spelling)
            for best, candidates, in_window in zip(likeliest, undecided, probabilities, strict=True):
                for candidate, probability in zip(candidates, in_window, strict=True):
                    if probability > best[candidate].probability:
                        best[candidate] = Hesitation(candidate, spelling, probability)
        results: list[Recognised] = []
        for result, best in zip(asked.recognised, likeliest, strict=True):
            probable = [hesitation for hesitation in best.values() if hesitation.is_probable]
            words = with_hesitations(result.words, probable, asked.language)
            results.append(result._replace(words=words))
        return results

    def _probabilities(
        self, asked: "_EncodedWindows", places: Sequence[Sequence[HesitationPlace]], spelling: str
    ) -> list[list[float]]:
        """Return the probability of a hesitation at each place of each window, with fillers in one spelling."""
        tokenizer = asked.tokenizer
        earlier_text = tokenizer.encode(f" {PROMPTS[asked.language]}")
        prompt = [tokenizer.sot_prev, *earlier_text, *tokenizer.sot_sequence]
        most_tokens = self._model.max_length - len(prompt) - 2
        texts: list[list[int]] = []
        positions: list[list[int]] = []  # of each window, where its text says whether a speaker hesitates
        for result, candidates in zip(asked.recognised, places, strict=True):
            text, text_positions = _hesitating_text(result.words, candidates, tokenizer, spelling)
            n_needed = max(text_positions, default=-1) + 1  # what comes later says nothing, and takes time
            texts.append(text[: min(n_needed, most_tokens)] or tokenizer.encode("."))
            positions.append(text_positions)
        # Nobody asks for the times: to find them in few frames saves a third of the time.
        n_frames = [FEWEST_FRAMES] * len(texts)
        align = partial(self._model.model.align, median_filter_width=SMOOTHED_FRAMES)
        aligned_texts = align(asked.encoded, prompt, texts, n_frames)
        probabilities: list[list[float]] = []
        for aligned, text_positions in zip(aligned_texts, positions, strict=True):
            of_tokens = dict(enumerate(aligned.text_token_probs))
            probabilities.append([float(of_tokens.get(position, 0.0)) for position in text_positions])
        return probabilities

    def _align(self, window: Samples, language: str, words: Sequence[str]) -> list[Word] | None:
        tokenizer = self._tokenizer(language)
        tokens = [tokenizer.encode(f" {word.strip()}") for word in words]
        seconds = len(window) / ANALYSIS_RATE
        n_tokens = len(tokenizer.sot_sequence) + sum(map(len, tokens))
        if seconds > ENCODER_SECONDS or n_tokens >= self._model.max_length:
            return None
        encoded = self._model.encode(self._features([window], seconds + ALIGNED_PADDING)[0])
        text = list(itertools.chain.from_iterable(tokens))
        n_frames = round(seconds * self._model.frames_per_second)
        n_frames = min(n_frames, self._model.feature_extractor.nb_max_frames)
        align = partial(self._model.model.align, median_filter_width=SMOOTHED_FRAMES)
        (aligned,) = align(encoded, tokenizer.sot_sequence, [text], [n_frames])
        text_indices, time_indices = np.array(aligned.alignments).T
        # The first frame of every token, and of the end of the text behind them.
        first_frames = np.flatnonzero(np.diff(text_indices, prepend=-1))
        begins = time_indices[first_frames] / self._model.tokens_per_second
        placed: list[Word] = []
        first = 0
        for word, word_tokens in zip(words, tokens, strict=True):
            last = first + _n_spoken(word_tokens, tokenizer)
            behind = first + len(word_tokens)
            probability = float(np.mean(aligned.text_token_probs[first:behind]))
            placed.append(Word(word, float(begins[first]), float(begins[last]), probability))
            first = behind
        return placed

    def _without_repetition(
        self, frames: MelFrames, seconds: float, tokenizer: "Tokenizer", options: "TranscriptionOptions"
    ) -> Recognised:
        """Decode one window without repeats of ever shorter phrases, until its text passes Whisper's check."""
        model = self._model
        encoded = model.encode(frames)
        prompt = model.get_prompt(tokenizer, [], without_timestamps=True)
        for phrase in NO_REPEAT:
            strict = replace(options, no_repeat_ngram_size=phrase)
            result, avg_logprob, _, ratio = model.generate_with_fallback(encoded, prompt, tokenizer, strict)
            if ratio <= COMPRESSION:
                break
        segment: _Segment = {
            "seek": 0,
            "start": 0.0,
            "end": seconds,
            "tokens": result.sequences_ids[0],
            "avg_logprob": avg_logprob,
            "no_speech_prob": result.no_speech_prob,
        }
        n_frames = math.ceil(seconds) * model.frames_per_second
        # It adds the words to the segment.
        model.add_word_timestamps([[segment]], tokenizer, encoded, n_frames, _PREPENDED, _APPENDED, 0.0)
        return self._recognised([segment], seconds)

    def _recognised(self, segments: Sequence[_Segment], seconds: float) -> Recognised:
        """Return the transcript of a window of so many seconds; its words are inside it and don't overlap."""
        if not segments:
            return Recognised([], math.nan, math.nan)
        early_start, early_end = self._early
        timed: list[Word] = []
        for segment in segments:
            for word in segment.get("words") or []:
                start = float(word["start"]) + early_start
                end = float(word["end"]) + early_end
                timed.append(Word(word["word"], start, end, float(word["probability"])))
        n_tokens = sum(len(segment["tokens"]) for segment in segments)
        # CTranslate2 halves the length that it is given: Whisper was trained on so many tokens behind a prompt.
        cut_off = n_tokens >= self._model.max_length // 2
        first = segments[0]
        # Ends are moved further than starts, into the next word.
        words = fit_within(timed, seconds)
        return Recognised(words, float(first["avg_logprob"]), float(first["no_speech_prob"]), cut_off)

    def _options(self, tokenizer: "Tokenizer") -> "TranscriptionOptions":
        from faster_whisper.transcribe import TranscriptionOptions, get_suppressed_tokens

        return TranscriptionOptions(
            beam_size=self._beam,
            best_of=5,
            patience=1,
            length_penalty=1,
            repetition_penalty=1,
            no_repeat_ngram_size=0,
            log_prob_threshold=LOW_LOGPROB,
            no_speech_threshold=NO_SPEECH,
            compression_ratio_threshold=COMPRESSION,
            condition_on_previous_text=False,
            prompt_reset_on_temperature=0.5,
            temperatures=[0.0],
            initial_prompt=None,
            prefix=None,
            suppress_blank=True,
            suppress_tokens=get_suppressed_tokens(tokenizer, [-1]),
            without_timestamps=True,
            max_initial_timestamp=0.0,
            word_timestamps=True,
            prepend_punctuations=_PREPENDED,
            append_punctuations=_APPENDED,
            multilingual=False,
            max_new_tokens=None,
            clip_timestamps="0",
            hallucination_silence_threshold=None,
            hotwords=None,
        )


class _EncodedWindows(NamedTuple):
    """Windows in one language that were recognised, for further questions to the decoder.

    `encoded` is the encoder's output for all windows.
    """

    recognised: Sequence[Recognised]
    encoded: "StorageView"
    tokenizer: "Tokenizer"
    language: str


def _n_spoken(tokens: Sequence[int], tokenizer: "Tokenizer") -> int:
    """Count the spoken tokens of a word: its marks, the last ones, attend to the pause behind it."""
    n_spoken = 0
    for number, token in enumerate(tokens, 1):
        letters = tokenizer.decode([token])
        if any(letter.isalnum() or letter == "\ufffd" for letter in letters):  # \ufffd: a part of a letter
            n_spoken = number
    return n_spoken or 1


def _hesitating_text(
    words: Sequence[Word], places: Sequence[HesitationPlace], tokenizer: "Tokenizer", spelling: str
) -> tuple[list[int], list[int]]:
    """The tokens of a text in which a speaker hesitates at each place, and the position of the one that shows it.

    In the midst of a sentence a comma is put before a filler: a recogniser that leaves fillers out writes no comma
    for them, and without one hardly any filler is likely. Words that are said twice are shown by the first of them
    that comes a second time.
    """
    text: list[int] = []
    positions: list[int] = []
    for index in range(len(words) + 1):
        before = words[index - 1].word if index else "."
        repeats: list[int] = []  # which of the places wait for the word that they are a repeat of
        for candidate in places:
            if candidate.before != index:
                continue
            positions.append(len(text))
            if candidate.repeated:
                for waiting in repeats:
                    positions[waiting] = len(text)
                repeats = [len(positions) - 1]
                repeated = words[index : index + len(candidate.repeated)]  # whole, even where one is cut off
                hesitation = " ".join(bare_word(word.word) for word in repeated)
            else:
                if candidate.is_inside and before != ",":
                    text += tokenizer.encode(",")
                    positions[-1] = len(text)
                hesitation = spelling.capitalize() if ends_sentence(before) else spelling
            text += tokenizer.encode(f" {hesitation},")
            before = ","
        for waiting in repeats:
            positions[waiting] = len(text)
        if index < len(words):
            text += tokenizer.encode(f" {words[index].word.strip()}")
    return text, positions


def _encoding_once(model: "WhisperModel") -> "BatchedInferencePipeline":
    """Return a pipeline of faster-whisper for windows that keeps the last windows as `encoded`."""
    from faster_whisper import BatchedInferencePipeline

    class Pipeline(BatchedInferencePipeline):  # type: ignore[misc]  # it has no types
        encoded: "StorageView | None" = None

        def generate_segment_batched(self, *inputs: object) -> "tuple[StorageView, list[_Segment]]":
            self.encoded, outputs = super().generate_segment_batched(*inputs)
            return self.encoded, outputs

    return Pipeline(model)


#: The sizes of Whisper, and the bytes of their weights on the Hub.
SIZES = {
    "tiny.en": 75_537_502,
    "base.en": 145_217_532,
    "base": 145_217_532,
    "small": 483_546_902,
    "tiny": 75_538_270,
    "small.en": 483_545_366,
    "medium.en": 1_527_904_330,
    "medium": 1_527_906_378,
    "large-v1": 3_086_912_962,
    "large-v2": 3_086_912_962,
    "large-v3": 3_087_284_237,
    "large-v3-turbo": 1_617_824_864,
    "turbo": 1_617_824_864,
}


def load_whisper(
    model: str, device: str = "auto", compute_type: str = "auto", beam: int = 5, batch_windows: int = 16
) -> Whisper:
    """The recogniser that `model` names, loaded once per process.

    Raises ModelMissing, and DailytalkError for what the device can't do or hold.
    """
    # Settled here, so that who asks for `auto` and who names what it means share one loaded model.
    used_device = devices.resolve_device(device)
    used_type = devices.compute_type_of(device, compute_type)
    return _load(model, used_device, used_type, beam, batch_windows)


#: Seconds by which the words of a size begin and end too early (too late where it is negative): medians of the
#: words of four speakers of TIMIT, as recorded. The other sizes were not measured.
EARLY = {"base": (0.042, 0.068), "tiny.en": (-0.080, -0.079)}


@loaded_once
def _load(model: str, device: str, compute_type: str, beam: int, batch_windows: int) -> Whisper:
    folder = resolve_whisper(model)
    early = EARLY.get(model, (0.0, 0.0))
    return Whisper(folder, device, compute_type, beam, batch_windows, early)


class RecogniserInput(NamedTuple):
    """Speech to recognise: samples (n,) in [-1, 1], their rate in Hz, and ISO 639-1 code, or `und` if unknown."""

    samples: Samples
    sample_rate: int
    language: str

    @property
    def analysed(self) -> Samples:
        """The samples at 16 kHz."""
        resampled = soxr.resample(self.samples, self.sample_rate, ANALYSIS_RATE)
        return np.asarray(resampled, np.float32)


def recognise(
    model: str, device: str, compute_type: str, utterances: Sequence[RecogniserInput]
) -> list[list[Word]]:
    """The words that `model` hears in each utterance, in its seconds. An unknown language is detected first."""
    whisper = load_whisper(model, device, compute_type)
    windows = [utterance.analysed for utterance in utterances]
    languages = [utterance.language for utterance in utterances]
    unknown = [index for index, language in enumerate(languages) if language == "und"]
    detected = whisper.detect_languages([windows[index] for index in unknown])
    for index, language in zip(unknown, detected, strict=True):
        languages[index] = language
    return [recognised.words for recognised in whisper.transcribe(windows, languages)]


def settled_type(model: str, device: str, compute_type: str) -> str:
    """The compute type of `model`, known before it is loaded; `auto` for no model.

    For a stage's settings, which must include all that decides its output: the same text on every host that does
    the work, even if `auto` differs there.
    """
    return devices.compute_type_of(device, compute_type) if model else "auto"


def check_language(model: str, language: str) -> None:
    """Raise DailytalkError for a language (ISO 639-1, two for left and right, or `auto`) that no model knows."""
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    codes = [] if language == "auto" else language.split(",")
    known_codes = {"en"} if model.endswith(".en") else {*_LANGUAGE_CODES}
    has_unknown = bool(model) and not known_codes.issuperset(codes)
    if len(codes) > 2 or has_unknown:
        raise DailytalkError(
            f"Whisper {model} does not know the language {language}",
            "name one by its ISO 639-1 code, such as en, or two for left and right, such as en,es; a model whose "
            "name ends in .en knows English only",
        )


def lacking_whisper(model: str) -> list[Missing]:
    """The weights of `model` (empty for none), if they are not on this machine."""
    if not model or is_model_folder(model, "recogniser") or resolve_whisper(model, fetch=False):
        return []
    return [Missing(f"Whisper {model}", SIZES.get(model))]


#: Files of a model in CTranslate2 format. Without tokenizer.json faster-whisper would ask the Hub for one.
MODEL_FILES = ("model.bin", "config.json", "tokenizer.json")

#: Files that a repository may have besides: how sound is prepared, and words in one of two forms.
FURTHER_FILES = ("preprocessor_config.json", "vocabulary.json", "vocabulary.txt")


def resolve_whisper(model: str, fetch: bool = True) -> str:
    """The folder of a model: as given, from the Hub's cache, from a wheel, or downloaded. Raises ModelMissing.

    Without `fetch`, an empty text for a model that would have to be downloaded.
    """
    from faster_whisper.utils import _MODELS

    is_folder = is_model_folder(model, "recogniser")
    name = _MODELS.get(model, model)
    paths = stored_files(name, MODEL_FILES)
    if len(paths) < len(MODEL_FILES) and not is_folder:
        if not fetch:
            return ""
        try:
            paths = hub_files(name, (*MODEL_FILES, *FURTHER_FILES))
        except ModelUnreachable as error:
            other = size_here()
            remedy = f"{error.remedy}; or {ANOTHER_WHISPER}"
            if other:
                remedy = f"pass {other}; or {error.remedy}"
            raise ModelUnreachable(error.reason, remedy, in_profile=True) from None
        except ModelMissing as error:
            raise ModelMissing(error.reason, f"{error.remedy}; or {ANOTHER_WHISPER}") from None
    lacking = [file for file in MODEL_FILES if file not in paths]
    if lacking:
        reason = f"{model!r} is not a complete Whisper model in CTranslate2 format: no {', '.join(lacking)}"
        raise ModelMissing(reason, f"download it again, or {ANOTHER_WHISPER}")
    return str(paths[MODEL_FILES[0]].parent)


def size_here() -> str:
    """The option for the largest Whisper size on this machine, in words; empty if there is none.

    One that knows all languages is preferred to a larger one that knows English only.
    """
    sizes = sizes_here()
    multilingual = [size for size in sizes if not size.endswith(".en")]
    if multilingual:
        return f"--asr-model {_largest(multilingual)}, which is here"
    if sizes:
        return f"--asr-model {_largest(sizes)}, which is here and knows English only"
    return ""


def _largest(sizes: Iterable[str]) -> str:
    return max(sizes, key=lambda size: SIZES.get(size, 0))


def sizes_here() -> dict[str, Path]:
    """The Whisper sizes whose weights are on this machine, with their folders."""
    from faster_whisper import available_models

    folders: dict[str, Path] = {}
    for size in available_models():
        folder = resolve_whisper(size, fetch=False)
        if folder:
            folders[size] = Path(folder)
    return folders
