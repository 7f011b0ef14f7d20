"""`dailytalk emotion train` and `predict`: train and use classifiers of emotion."""

import shutil
import sys
from pathlib import Path
from typing import Any, TypedDict

from dailytalk_contiguous.apps.learn import emotion_evaluate_command as emotion_evaluate
from dailytalk_contiguous.apps.learn.emotion_evaluation import (
    EmotionEvaluation,
    evaluate_model,
    evaluate_speakers,
    left_out_sentences,
)
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.apps.learn.emotion_settings import NetworkSettings
from dailytalk_contiguous.apps.learn.emotion_training import TrainingFacts, fit_emotion, training_facts
from dailytalk_contiguous.apps.learn.folds import check_installed
from dailytalk_contiguous.apps.learn.judged_lines import LineReader, row_of
from dailytalk_contiguous.apps.learn.model_cards import (
    TrainingSource,
    emotion_card,
    known_licences,
    repositories_of,
    without_licence,
)
from dailytalk_contiguous.apps.learn.moods import JudgedSpeaker, Mood, RecordingMoods, mood_sentence, moods_of
from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Panel, argument, option, say, shown_steps
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.outcome import Figures, Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.settings import chosen_for, one_of, settings_of
from dailytalk_contiguous.core.sound.samples import to_pcm
from dailytalk_contiguous.core.style import emotions
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models import emotion_folder, emotion_models, sound_card
from dailytalk_contiguous.models.contracts import Line, Synthesiser, TrainedEmotionModel, VoiceSettings
from dailytalk_contiguous.models.devices import resolve_device
from dailytalk_contiguous.models.engines import ENGINES, engine_named, load_synthesiser, synthesise
from dailytalk_contiguous.sources.people import read_people
from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion
from dailytalk_contiguous.stages.rate_affect import AFFECT_MODEL, RateAffect
from dailytalk_contiguous.store.files import replacing
from dailytalk_contiguous.store.owned_folder import check_sound_file, write_sound

TRAIN_EMOTION_SETTINGS = cli_options.setting_options(NetworkSettings())

LISTEN = cli_options.time_of({})

#: What is in the header of the files of `--say-to`, by which they are known and may be replaced.
SPOKEN_MOOD = "mood"


@cli_options.with_options({**TRAIN_EMOTION_SETTINGS, **emotion_evaluate.EXAMPLE_OPTIONS})
@shown_steps()
def emotion_train(
    inputs: list[str] = emotion_evaluate.INPUTS,
    out: Path = cli_options.out_option(),
    kind: str = emotion_evaluate.kind_option("linear"),
    save_spectrograms: Path | None = option(
        None, Panel.RARE, "Write train/CLASS/NAME.png and validation/…, of other speakers, too.", metavar="DIR"
    ),
    source_licence: str = cli_options.SOURCE_LICENCE,
    device: str = cli_options.DEVICE_OPTION,
    **options: Any,
) -> Outcome:
    """Train a classifier of emotion on clips.

    linear takes a minute, needs the extra tokens, and says how well it does on speakers that it has not heard.
    spectrogram and audio are networks and need the extra train: run the same command after a stop, and they go
    on. spectrogram needs 40 clips of each class or more; linear recognised more than it wherever both were
    measured, up to 300. All are calibrated on speakers who were left out of a part of the training, who also set
    the confidence under which the model is unsure. Emotion is a guess from sound, not a diagnosis. The folder has
    a card, README.md, and can be published as it is: hf upload OWNER/NAME DIR.
    """
    cli_options.on_this_machine("--out", out)
    one_of("--kind", kind, emotion_folder.EMOTION_KINDS)
    asked = {name: options.pop(name) for name in emotion_evaluate.EXAMPLE_OPTIONS}
    chosen = chosen_for(NetworkSettings, cli_options.chosen(options, TRAIN_EMOTION_SETTINGS))
    for_networks = [name for name in chosen if name != "seed"]
    if kind == "linear" and for_networks:
        raise DailytalkError(f"{for_networks[0]} is not for linear", "leave it out, or name another --kind")
    settings = NetworkSettings(**chosen)
    emotion_folder.check_new(out)
    resolved = resolve_device(device)
    examples = emotion_evaluate.examples_asked(inputs, None, **asked)
    examples, notes = _of_present_classes(examples, named=bool(asked["classes"]))
    if save_spectrograms is not None:
        # Only here, as it imports PyTorch and transformers.
        from dailytalk_contiguous.apps.learn import emotion_networks_training as networks

        count = networks.save_spectrograms(examples, save_spectrograms, settings.valid_share, settings.seed)
        notes.append(f"{counted(count, 'spectrogram')} in {as_text(save_spectrograms)}")
    work = None if kind == "linear" else out / emotion_folder.CHECKPOINTS
    model = fit_emotion(kind, examples, settings, resolved, work)
    facts = training_facts(examples)
    facts["trained_with"] = settings_of(settings)
    facts["datasets"] = repositories_of(inputs)
    try:
        tested, evaluation = _evaluated(kind, model, examples, settings, resolved)
        facts["evaluation"] = evaluation.as_dict()
        notes.append(f"{tested}: {emotion_evaluate.figures_sentence(evaluation)}")
    except DailytalkError as problem:
        facts["not_tested"] = problem.reason
        notes.append(f"not tested: {problem.reason}")
    sources = _training_sources(facts, source_licence)
    note = without_licence(sources)
    if note:
        notes.append(note)
    card = emotion_card(out.name, model, facts, sources, settings)
    emotion_folder.write_emotion_folder(model, out, facts, card)
    shutil.rmtree(out / emotion_folder.CHECKPOINTS, ignore_errors=True)
    record = {
        "out": as_text(out),
        "kind": kind,
        "classes": [*model.classes],
        "temperature": model.temperature,
        "limits": model.limits._asdict(),
        **facts,
        "notes": notes,
    }
    utterances = counted(len(examples), "utterance")
    speakers = counted(facts["speakers"], "speaker")
    return Outcome(
        record,
        f"{kind}: {utterances} of {speakers}, {len(model.classes)} classes, "
        f"temperature {model.temperature:.2f}, unsure below {model.limits.alone:.2f} alone and "
        f"{model.limits.beside:.2f} beside others, in {as_text(out)}",
        details=[f"note: {sentence}" for sentence in notes],
        next=to_run("emotion", "predict", "FILE", "--model", out),
    )


def _of_present_classes(examples: EmotionExamples, named: bool) -> tuple[EmotionExamples, list[str]]:
    """Examples with the classes of which there are some, and notes on what is left out.

    `named`: the user has named the classes, and all of them must be present.
    """
    notes = left_out_sentences(examples)
    present = examples.present_classes()
    missing = [name for name in examples.classes if name not in present]
    if missing and not named and len(present) > 1:
        examples = examples.of_classes(present, "")
        notes.append(f"no utterance is {cli_options.either(missing)}: not told apart")
    return examples, notes


#: The corpus that `dailytalk corpus clips` makes of anybody's recordings: no dataset that others know by its name.
OWN_CLIPS = "clips"


def _training_sources(facts: TrainingFacts, other_licence: str) -> list[TrainingSource]:
    """The corpora of a training as sources on its card; `other_licence` is that of data without a known one."""
    sources: list[TrainingSource] = []
    for corpus, corpus_facts in facts["by_corpus"].items():
        utterances = counted(corpus_facts["utterances"], "utterance")
        speakers = counted(corpus_facts["speakers"], "speaker")
        source = TrainingSource(
            corpus or "not named",
            known_licences(corpus_facts["licences"], other_licence),
            f"{utterances} of {speakers}",
            is_dataset=corpus not in ("", OWN_CLIPS),
        )
        sources.append(source)
    return sources


def _evaluated(
    kind: str, model: TrainedEmotionModel, examples: EmotionExamples, settings: NetworkSettings, device: str
) -> tuple[str, EmotionEvaluation]:
    """The speakers on which a kind of model is tested, in words, and the result.

    `linear` is tested on parts of the speakers, each by a model of the others. A network is tested on those that
    its training held out. Raises DailytalkError for too few speakers, and without scikit-learn.
    """

    def fit_on(train: EmotionExamples) -> TrainedEmotionModel:
        return fit_emotion(kind, train, settings, device)

    if kind == "linear":
        evaluation = evaluate_speakers(fit_on, examples, seed=settings.seed)
        return "speakers that it had not heard", evaluation
    from dailytalk_contiguous.apps.learn.emotion_networks_training import held_out  # which imports PyTorch

    check_installed("sklearn", "tokens")
    _, valid = held_out(examples, settings.valid_share, settings.seed)
    evaluation = evaluate_model(model, examples.take(valid), heard="its training held these speakers out")
    return "speakers that its training held out", evaluation


#: The note beside every emotion.
NO_DIAGNOSIS = "emotion is a guess from sound, not a diagnosis"


@shown_steps()
def emotion_predict(
    inputs: list[str] | None = argument("FILE|DIR", "Recordings, folders of them or of dailytalk corpus.", None),
    model: str = emotion_evaluate.model_option(emotions.VOICE_LINEAR),
    affect_model: str = option(
        emotions.VOICE_LINEAR,
        Panel.MODELS,
        AFFECT_MODEL.about,
        metavar=AFFECT_MODEL.metavar,
        show_default=AFFECT_MODEL.shown,
    ),
    emotion_confidence: float | None = emotion_evaluate.CONFIDENCE_OPTION,
    speakers: Path | None = engine_options.SPEAKERS,
    mic: bool = option(False, Panel.INPUT, "Listen to the microphone; Ctrl-C ends it.", "--mic"),
    listen: Any = option(
        10.0,
        Panel.INPUT,
        "How long to listen to the microphone, at most.",
        metavar=cli_options.TIME,
        parser=LISTEN,
        show_default="10s",
        hidden=True,
    ),
    say_mood: bool = option(False, Panel.VOICE, "Say aloud how it sounds.", "--say"),
    say_to: Path | None = option(
        None, Panel.VOICE, "Say it into a file, without a loudspeaker.", metavar="FILE.wav", dir_okay=False
    ),
    device: str = cli_options.DEVICE_OPTION,
) -> Outcome:
    """Say which emotion a voice sounds like, and how sure.

    It judges utterance by utterance, each beside the others of its speaker: those of all INPUT where --speakers or
    a folder of dailytalk corpus says who speaks, else those of its recording. Valence and arousal are from 0 to 1.
    Two channels are two speakers.
    """
    if bool(inputs) == mic:
        raise DailytalkError(
            "recordings and the microphone can't be used together" if mic else "there is nothing to listen to",
            "leave one of them out" if mic else "name recordings, or pass --mic",
        )
    if say_mood:
        sound_card.check_loudspeaker()
    if say_to is not None:
        check_sound_file("--say-to", say_to, SPOKEN_MOOD)
    voice = _voice() if say_mood or say_to is not None else None
    resolved = resolve_device(device)
    classify = ClassifyEmotion(model, emotion_confidence, resolved)
    classifier = emotion_models.load_emotion_model(model, resolved)
    rate = RateAffect(affect_model, device=resolved)
    table = read_people(speakers) if speakers is not None else {}
    reader = LineReader()
    if mic:
        say(f"listening for {listen:g} s; Ctrl-C ends it")
        reader.read_rows([row_of("microphone", sound_card.record_sound(listen))])
    else:
        reader.read(inputs or [])
    unmatched_names = reader.name_people(table)
    if unmatched_names:
        say(f"--speakers names what is not in INPUT: {show.first_names(unmatched_names)}")
    heard, failures = moods_of(reader.recordings, reader.sounds, classify, rate, classifier)
    rejects = [*reader.rejects, *failures]
    sentences: list[str] = []
    details: list[str | Figures] = []
    records: list[RecordingRecord] = []
    emotions_heard: list[str] = []
    for recording in heard:
        emotions_heard += [mood["emotion"] for mood in recording.utterances if mood["emotion"]]
        recording_record: RecordingRecord = {
            "recording": as_text(recording.name),
            "seconds": round(recording.seconds, 3),
            "utterances": recording.utterances,
            "speakers": recording.speakers,
            "judged": recording.judged,
        }
        records.append(recording_record)
        sentences += _spoken_moods(recording)
        details += _shown_moods(recording)
    show.say_left_out(reader.left_out)
    if voice is not None and sentences:
        _speak(voice, " ".join(sentences), say_to, aloud=say_mood)
    answered = len(emotions_heard) - emotions_heard.count(emotions.UNSURE)
    said_to = as_text(say_to) if say_to is not None and sentences else None
    record = {
        "model": classifier.name,
        "affect_model": affect_model,
        "classes": [*classifier.classes],
        "confidence": emotion_confidence,
        "limits": classifier.limits._asdict(),
        "answered_share": answered / len(emotions_heard) if emotions_heard else None,
        "recordings": records,
        "rejects": [reject.as_dict() for reject in rejects],
        "said": sentences,
        "said_to": said_to,
        "note": NO_DIAGNOSIS,
    }
    if said_to:
        details.append(f"said in {said_to}")
    details.append(f"note: {NO_DIAGNOSIS}")
    headline = f"{counted(len(heard), 'recording')} heard" if heard else "no recording could be heard"
    if emotions_heard:
        share = answered / len(emotions_heard)
        headline += f", {answered:,} of {counted(len(emotions_heard), 'utterance')} answered ({share:.0%})"
    code = exit_code(len(heard), len(rejects))
    return Outcome(record, headline, code, details, rejected_of(rejects))


def _speak(voice: Synthesiser, text: str, path: Path | None, aloud: bool) -> None:
    """Say a text into a file, if one is named, and aloud."""
    spoken = synthesise(voice, Line(text, "", "en", 0))
    if path is not None:
        with replacing(path) as file:
            write_sound(file, [to_pcm(spoken.samples)], spoken.sample_rate, 1, digest=SPOKEN_MOOD)
    if aloud:
        sys.stdout.flush()
        sound_card.play_sound(spoken.samples, spoken.sample_rate)


class RecordingRecord(TypedDict):
    """The moods of a recording as `--json` prints them."""

    recording: str
    seconds: float
    utterances: list[Mood]
    speakers: list[Mood]
    judged: list[JudgedSpeaker]


def _shown_moods(recording: RecordingMoods) -> list[str | Figures]:
    """The moods of a recording as a terminal shows them: a table of its utterances, a line for each speaker."""
    name = as_text(recording.name)
    if not recording.utterances:
        return [name, "  nobody speaks in it"]
    rows: list[tuple[str, ...]] = []
    for mood in recording.utterances:
        time = f"  {_clock(mood['start'])}–{_clock(mood['end'])}"
        rows.append((time, mood["speaker"], *_cells(mood)))
    lines: list[str] = []
    for mood in recording.speakers:
        emotion, confidence, valence, arousal = _cells(mood)
        sentence = mood_sentence(mood["emotion"], mood["arousal"])
        figures = f"{emotion} ({confidence}), valence {valence}, arousal {arousal}"
        lines.append(f"  {mood['speaker']}: in all {figures}: {sentence}")
    head = ("  time", "who", "emotion", ">sure", ">valence", ">arousal")
    for speaker in recording.judged:
        named = as_text(speaker["name"] or "")
        company = "alone" if speaker["lines"] == 1 else "beside each other"
        judged = f"judged {company} ({named})" if named else f"judged {company}"
        if speaker["beside"]:
            judged = f"judged beside {counted(speaker['beside'], 'line')} of {named} in other recordings"
        lines.append(f"  {speaker['speaker']}: {judged}")
    return [name, Figures(head, rows), *lines]


def _cells(mood: Mood) -> tuple[str, str, str, str]:
    """The emotion, its confidence, valence and arousal of a mood, as a table shows them."""
    emotion = mood["emotion"] or "–"
    confidence = f"{mood['confidence']:.0%}"
    return emotion, confidence, _affect_text(mood["valence"]), _affect_text(mood["arousal"])


def _affect_text(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _clock(seconds: float) -> str:
    """A time as minutes and seconds, to a tenth: `1:02.5`."""
    tenths = round(10 * seconds)
    minutes = tenths // 600
    remainder = tenths % 600 / 10
    return f"{minutes}:{remainder:04.1f}"


def _spoken_moods(recording: RecordingMoods) -> list[str]:
    """The moods of a recording in sentences to be spoken."""
    if not recording.speakers:
        return [mood_sentence(None)]
    sentences: list[str] = []
    for mood in recording.speakers:
        sentence = mood_sentence(mood["emotion"], mood["arousal"])
        if len(recording.speakers) > 1:
            sentence = f"On the {mood['speaker']}: {sentence}"
        sentences.append(sentence)
    return sentences


def _voice() -> Synthesiser:
    """The first synthesiser that speaks on this machine. Raises the error of the first one if none does."""
    refusals: list[DailytalkError] = []
    for name in ENGINES:
        if engine_named(name).converts:
            continue
        synthesiser = load_synthesiser(name, VoiceSettings("", ""))
        if synthesiser.server:
            continue
        try:
            synthesiser.preflight()
        except DailytalkError as error:
            refusals.append(error)
        else:
            return synthesiser
    raise refusals[0]
