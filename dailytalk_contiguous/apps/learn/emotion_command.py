"""`dailytalk emotion train`, `calibrate` and `predict`: train, calibrate and use classifiers of emotion."""

import shutil
import sys
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.learn import emotion_evaluate_command as emotion_evaluate
from dailytalk_contiguous.apps.learn import emotion_training
from dailytalk_contiguous.apps.learn.emotion_evaluation import (
    EmotionEvaluation,
    evaluate_protocol,
    left_out_sentences,
)
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.apps.learn.emotion_settings import SETTINGS_OF_KIND, NetworkSettings
from dailytalk_contiguous.apps.learn.model_cards import DataSource
from dailytalk_contiguous.apps.learn.moods import Mood, RecordingMoods, mood_sentence, moods_of, row_of
from dailytalk_contiguous.apps.learn.probes import FOLDS
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.terminal import Panel, argument, option, say
from dailytalk_contiguous.core import emotions
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.outcome import Figures, Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.settings import chosen_for, settings_of
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models import emotion_folder, emotion_models
from dailytalk_contiguous.models.contracts import Line, Synthesiser, TrainedEmotionModel, VoiceSettings
from dailytalk_contiguous.models.devices import resolve_device
from dailytalk_contiguous.models.engines import ENGINES, load_synthesiser, synthesise
from dailytalk_contiguous.publish.pushing import push_model
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.recordings import LeftOut
from dailytalk_contiguous.stages.classify_emotion import CONFIDENCE, ClassifyEmotion
from dailytalk_contiguous.stages.rate_affect import RateAffect
from dailytalk_contiguous.store.files import replacing
from dailytalk_contiguous.store.owned_folder import write_sound

#: The settings of each kind.
_SETTINGS: dict[str, type[Any]] = {"linear": emotion_training.LinearSettings, **SETTINGS_OF_KIND}

TRAIN_EMOTION_SETTINGS = cli_options.setting_options(*(kind() for kind in _SETTINGS.values()))

LISTEN = cli_options.time_of({})

#: The note beside every emotion.
NO_DIAGNOSIS = "emotion is a guess from sound, and no diagnosis"


@cli_options.with_options({**TRAIN_EMOTION_SETTINGS, **emotion_evaluate.EXAMPLE_OPTIONS})
def emotion_train(
    inputs: list[str] = emotion_evaluate.INPUTS,
    out: Path = cli_options.out_option(),
    kind: str = emotion_evaluate.kind_option("linear"),
    folds: int | None = emotion_evaluate.folds_option(None, 0, f"{FOLDS} for linear; else 0, none"),
    save_spectrograms: Path | None = option(
        None, Panel.RARE, "Write train/CLASS/NAME.png and validation/…, of other speakers, too.", metavar="DIR"
    ),
    source_licence: str = cli_options.SOURCE_LICENCE,
    push: str | None = cli_options.PUSH_MODEL,
    private: bool = cli_options.PRIVATE,
    device: str = cli_options.DEVICE_OPTION,
    **options: Any,
) -> Outcome:
    """Train a classifier of emotion on clips.

    And say how well it does on speakers that it has not heard. linear takes a minute and needs the extra tokens.
    spectrogram and ssl are networks and need the extra train: run the same command after a stop, and they go on.
    All are calibrated on speakers that a part of the training leaves out. Emotion is a guess from sound, and no
    diagnosis.
    """
    cli_options.on_this_machine("--out", out)
    cli_options.one_of("--kind", kind, emotion_folder.EMOTION_KINDS)
    asked = {name: options.pop(name) for name in emotion_evaluate.EXAMPLE_OPTIONS}
    chosen = cli_options.chosen(options, TRAIN_EMOTION_SETTINGS)
    if foreign := [name for name in chosen if not chosen_for(_SETTINGS[kind], {name: chosen[name]})]:
        raise DailytalkError(f"--{foreign[0].replace('_', '-')} is not for {kind}", "leave it out")
    settings = _SETTINGS[kind](**chosen_for(_SETTINGS[kind], chosen))
    repo = cli_options.model_to_push(push, private)
    emotion_folder.check_new(out)
    resolved = resolve_device(device)
    examples = emotion_evaluate.examples_asked(inputs, None, **asked)
    notes = list[str]()
    present = [name for place, name in enumerate(examples.classes) if (examples.labels == place).any()]
    missing = [name for name in examples.classes if name not in present]
    if missing and not asked["classes"] and len(present) > 1:  # named classes must be present
        examples = examples.of_classes(present, "")
        notes.append(f"no utterance is {cli_options.either(missing)}: not told apart")

    def fit(known: EmotionExamples, work: Path | None = None) -> TrainedEmotionModel:
        return emotion_training.fit_emotion(kind, known, settings, resolved, settings.seed, work)

    if save_spectrograms is not None:
        from dailytalk_contiguous.apps.learn.emotion_networks_training import (
            save_spectrograms as write_pictures,
        )

        share = getattr(settings, "valid_share", NetworkSettings.valid_share)
        pictures = write_pictures(examples, save_spectrograms, share, settings.seed)
        notes.append(f"{counted(pictures, 'spectrogram')} in {as_text(save_spectrograms)}")
    model = fit(examples, None if kind == "linear" else out / emotion_folder.CHECKPOINTS)
    count = (FOLDS if kind == "linear" else 0) if folds is None else folds
    evaluation: EmotionEvaluation | None = None
    if count > 1:
        try:
            evaluation = evaluate_protocol(fit, examples, "speakers", count, settings.seed)
        except BadInput as problem:
            notes.append(f"not tested: {problem.reason}")
    notes += evaluation.sentences() if evaluation else left_out_sentences(examples)
    terms = {name: source_licence or " / ".join(examples.licences.get(name, ())) or None for name in inputs}
    sources = [DataSource(name.rstrip("/").rpartition("/")[2], terms[name]) for name in dict.fromkeys(inputs)]
    facts = emotion_training.training_facts(examples, settings_of(settings), sources, evaluation)
    emotion_training.save_emotion(model, out, facts)
    shutil.rmtree(out / emotion_folder.CHECKPOINTS, ignore_errors=True)
    address = _pushed(repo, out, kind, private)
    known = {"out": as_text(out), "kind": kind, "classes": [*model.classes], "temperature": model.temperature}
    details = [f"note: {sentence}" for sentence in notes]
    if evaluation is not None:
        recall, interval = evaluation.figures.recall.shown()
        details.append(
            f"speakers that it had not heard: mean recall {recall} % ({interval}), "
            f"chance {evaluation.chance:.1%}, calibration error {evaluation.figures.calibration_error:.3f}"
        )
    return Outcome(
        known | facts | {"notes": notes, "published": address},
        f"{kind}: {counted(len(examples), 'utterance')} of {counted(facts['speakers'], 'speaker')}, "
        f"{len(model.classes)} classes, temperature {model.temperature:.2f}, in {as_text(out)}"
        + (f", published as {address}" if address else ""),
        details=details,
        next=to_run("emotion", "predict", "FILE", "--model", out),
    )


def _pushed(repo: str | None, folder: Path, kind: str, private: bool) -> str | None:
    files = (emotion_folder.CARD, emotion_folder.ABOUT, emotion_folder.WEIGHTS)
    return repo and push_model(repo, folder, files, f"Classifier of emotion ({kind})", private)


@cli_options.with_options(emotion_evaluate.EXAMPLE_OPTIONS)
def emotion_calibrate(
    model: Path = argument("MODEL", "Folder of dailytalk emotion train; its emotion.json is changed."),
    inputs: list[str] = emotion_evaluate.INPUTS,
    push: str | None = cli_options.PUSH_MODEL,
    private: bool = cli_options.PRIVATE,
    device: str = cli_options.DEVICE_OPTION,
    **asked: Any,
) -> Outcome:
    """Make a classifier as sure as it is right.

    Its temperature is fitted to speakers that it was not trained on. Which class it answers stays the same. On
    speakers it was trained on it comes out too sure of itself.
    """
    repo = cli_options.model_to_push(push, private)
    trained = emotion_models.model_of_folder(model, resolve_device(device))
    examples = emotion_evaluate.examples_asked(inputs, trained, **asked)
    notes = left_out_sentences(examples)
    learned = emotion_models.emotion_facts(str(model)).get("corpora", ())
    if heard := sorted({*learned} & {*examples.corpora.tolist()}):
        notes.append(f"it was trained on {', '.join(heard)}: of speakers that it knows it comes out too sure")
    done = emotion_training.calibrate_emotion(trained, examples)
    emotion_folder.set_temperature(model, done.temperature, {"calibration": done._asdict()})
    emotion_training.write_card(model)
    address = _pushed(repo, model, trained.kind, private)
    return Outcome(
        done._asdict() | {"model": as_text(model), "notes": notes, "published": address},
        f"temperature {done.temperature:.3f}, by {counted(done.utterances, 'utterance')} of "
        f"{counted(done.speakers, 'speaker')}: calibration error {done.error_before:.3f} → "
        f"{done.error_after:.3f}, loss {done.loss_before:.3f} → {done.loss_after:.3f} nats",
        details=[*(f"note: {sentence}" for sentence in notes), *filter(None, [address])],
        next=to_run("emotion", "predict", "FILE", "--model", model),
    )


def emotion_predict(
    inputs: list[str] | None = argument("FILE|DIR", "Recordings, and folders of them.", None),
    model: str = emotion_evaluate.model_option(emotions.VOICE_LINEAR),
    affect_model: str = option(
        emotions.VOICE_LINEAR,
        Panel.MODELS,
        f"Affect model: a name on the Hub, a folder, or {emotions.VOICE_LINEAR}.",
        metavar="NAME|DIR",
    ),
    emotion_confidence: float = option(
        emotions.LEAST_CONFIDENCE, Panel.STYLE, CONFIDENCE.about, metavar="N", min=0, max=1
    ),
    mic: bool = option(False, Panel.INPUT, "Listen to the microphone; Ctrl-C ends it.", "--mic"),
    listen: Any = option(
        10.0,
        Panel.INPUT,
        "How long to listen to the microphone, at most.",
        metavar=cli_options.TIME,
        parser=LISTEN,
        show_default="10s",
    ),
    say_mood: bool = option(False, Panel.VOICE, "Say aloud how it sounds.", "--say"),
    say_to: Path | None = option(None, Panel.VOICE, "Say it into a WAV file, not aloud.", metavar="FILE.wav"),
    device: str = cli_options.DEVICE_OPTION,
) -> Outcome:
    """Say which emotion a voice sounds like, and how sure.

    Utterance by utterance. Valence and arousal are from 0 to 1. Two channels are two speakers.
    """
    if bool(inputs) == mic:
        raise DailytalkError(
            "recordings and the microphone are not heard together" if mic else "there is nothing to listen to",
            "leave one of both out" if mic else "name recordings, or pass --mic",
        )
    emotion_evaluate.check_file("--say-to", say_to, (".wav",))
    voice = _voice() if say_mood or say_to is not None else None
    if voice is not None and say_to is None:
        from dailytalk_contiguous.models.sound_card import check_loudspeaker

        check_loudspeaker()
    resolved = resolve_device(device)
    classify = ClassifyEmotion(model, emotion_confidence, resolved)
    classifier = emotion_models.load_emotion_model(model, resolved)
    rate, left_out = RateAffect(affect_model, device=resolved), LeftOut()
    recordings: dict[str, list[Row]] = {}
    rejects, heard = list[Reject](), list[RecordingMoods]()
    if mic:
        from dailytalk_contiguous.models.sound_card import record_sound

        say(f"listening for {listen:g} s; Ctrl-C ends it")
        recordings["microphone"] = [row_of("microphone", record_sound(listen))]
    else:
        for row in folder_rows(FolderConfig(inputs=tuple(inputs or ()), channel="any", given=False), left_out):
            if row["problem"]:
                rejects.append(Reject(row["recording_id"], "listen", row["problem"], row["remedy"]))
            else:
                recordings.setdefault(row["recording_id"], []).append(row)
    for name, rows in recordings.items():
        try:
            heard.append(moods_of(rows, classify, rate))
        except BadInput as problem:
            rejects.append(Reject(name, "listen", problem.reason, problem.remedy))
    show.say_left_out(left_out)
    sentences = [sentence for recording in heard for sentence in _spoken_moods(recording)]
    if voice is not None and sentences:
        _speak(voice, sentences, say_to)
    record = {
        "model": classifier.name,
        "affect_model": affect_model,
        "classes": [*classifier.classes],
        "confidence": emotion_confidence,
        "recordings": [
            {
                "recording": as_text(recording.name),
                "seconds": round(recording.seconds, 3),
                "utterances": recording.utterances,
                "speakers": recording.speakers,
            }
            for recording in heard
        ],
        "rejects": [reject.as_dict() for reject in rejects],
        "said": sentences,
        "note": NO_DIAGNOSIS,
    }
    details = [detail for recording in heard for detail in _of_recording(recording)]
    return Outcome(
        record,
        f"{counted(len(heard), 'recording')} heard" if heard else "no recording could be heard",
        exit_code(len(heard), len(rejects)),
        [*details, f"note: {NO_DIAGNOSIS}"],
        rejected_of(rejects),
    )


def _of_recording(recording: RecordingMoods) -> list[str | Figures]:
    if not recording.utterances:
        return [as_text(recording.name), "  nobody speaks in it"]
    rows = [
        (f"  {_clock(mood['start'])}–{_clock(mood['end'])}", mood["speaker"], *_cells(mood))
        for mood in recording.utterances
    ]
    lines = [
        "  {}: in all {} ({}), valence {}, arousal {}: ".format(mood["speaker"], *_cells(mood))
        + mood_sentence(mood["emotion"], mood["arousal"])
        for mood in recording.speakers
    ]
    head = ("  time", "who", "emotion", ">sure", ">valence", ">arousal")
    return [as_text(recording.name), Figures(head, rows), *lines]


def _cells(mood: Mood) -> tuple[str, ...]:
    affect = [mood[name] for name in ("valence", "arousal")]
    shown = ["–" if value is None else f"{value:.2f}" for value in affect]
    return mood["emotion"] or "–", f"{mood['confidence']:.0%}", *shown


def _clock(seconds: float) -> str:
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


def _spoken_moods(recording: RecordingMoods) -> list[str]:
    if not recording.speakers:
        return [mood_sentence(None)]
    sentences = {mood["speaker"]: mood_sentence(mood["emotion"], mood["arousal"]) for mood in recording.speakers}
    if len(sentences) == 1:
        return [*sentences.values()]
    return [f"On the {speaker}: {sentence}" for speaker, sentence in sentences.items()]


def _voice() -> Synthesiser:
    refusals = []
    for name in ENGINES:
        synthesiser = load_synthesiser(name, VoiceSettings("", ""))
        if not synthesiser.server:
            try:
                synthesiser.preflight()
                return synthesiser
            except DailytalkError as error:
                refusals.append(error)
    raise refusals[0]


def _speak(voice: Synthesiser, sentences: list[str], out: Path | None) -> None:
    spoken = synthesise(voice, Line(" ".join(sentences), "", "en", 0))
    if out is not None:
        with replacing(out) as file:
            write_sound(file, [spoken.samples], spoken.sample_rate, 1)
        say(f"said in {as_text(out)}")
        return
    from dailytalk_contiguous.models.sound_card import play_sound

    sys.stdout.flush()
    play_sound(spoken.samples, spoken.sample_rate)
