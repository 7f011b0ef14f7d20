"""`dailytalk converse`: a spoken conversation with recognised emotion, kept as training data."""

import select
import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from dailytalk_contiguous.apps.converse import sound_blocks, talk_setup
from dailytalk_contiguous.apps.converse.chat import ChatSettings
from dailytalk_contiguous.apps.converse.dialogue import TurnRules
from dailytalk_contiguous.apps.converse.talk import Talk, TalkEvent, run_talk
from dailytalk_contiguous.apps.converse.talk_record import TalkRecord
from dailytalk_contiguous.apps.converse.talk_screen import TalkScreen, latency_text, median_steps
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import AS_JSON, Console, Panel, opened, option, say, visible
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.outcome import Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.settings import with_settings
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.checkpoints import INSTALL_OFFLINE
from dailytalk_contiguous.models.profiles import EMBEDDED, STANDARD

#: The options of all parts of a talk.
CONVERSE_SETTINGS = cli_options.setting_options(talk_setup.TalkModels(), ChatSettings(), TurnRules())


@cli_options.with_options(CONVERSE_SETTINGS)
def converse(
    profile: str = cli_options.profile_option("", STANDARD),
    input: list[Path] | None = option(
        None,
        Panel.INPUT,
        "A sound file in place of the microphone; of several, each waits for its answer.",
        "--input",
        metavar="FILE",
    ),
    out: Path = cli_options.out_option(Path("talks")),
    no_save: bool = option(False, Panel.INPUT, "Keep nothing of the talk.", "--no-save"),
    system: Path | None = option(
        None, Panel.MODELS, "File with instructions for the chat model.", metavar="FILE", show_default="ours"
    ),
    sound_device: str = option(
        "",
        Panel.INPUT,
        "Microphone and loudspeaker, by name or number (see --sound-devices).",
        metavar="NAME",
        show_default="the system's",
    ),
    list_devices: bool = option(
        False, Panel.INPUT, "List microphones and loudspeakers, and end.", "--sound-devices"
    ),
    headphones: bool = option(
        False, Panel.RUN, "You wear headphones: the microphone stays open while the voice speaks.", "--headphones"
    ),
    push_to_talk: bool = option(False, Panel.RUN, "Enter begins and ends what you say.", "--push-to-talk"),
    web: bool = option(False, Panel.RUN, "Talk in a page of your browser.", "--web"),
    port: int = cli_options.PORT,
    no_browser: bool = cli_options.NO_BROWSER,
    play: bool = option(False, Panel.RUN, "With --input: play the voice, too.", "--play"),
    consent: bool = option(
        False, Panel.VOICE, "The speaker of clone:FILE has agreed; nobody is asked.", "--consent"
    ),
    as_json: bool = AS_JSON,
    **options: Any,
) -> Outcome:
    """Talk with this machine: it hears words and emotion.

    It answers, and speaks. Each talk is kept in --out as stereo sound with its words, the voice on the left and
    you on the right, ready for `check` and `export`. Type clear and Enter to start afresh; Ctrl-C ends the talk.
    An emotion is a guess from sound, and no diagnosis. Nothing leaves this machine unless a service is chosen:
    with the profile standard, Fish Audio speaks. Where it can't, you are asked who shall.
    """
    if list_devices:
        devices = sound_blocks.sound_devices()
        headline = counted(len(devices), "sound device") if devices else "no sound device is there"
        return Outcome({"devices": devices}, headline, 0 if devices else 1, devices)
    cli_options.on_this_machine("--out", out)
    voice_options = cli_options.own_voice(options)
    settings = cli_options.chosen(options, CONVERSE_SETTINGS | cli_options.setting_options(voice_options))
    (models,), (chat,), (rules,) = (
        with_settings((talk_setup.TalkModels(options=voice_options),), settings),
        with_settings((ChatSettings(),), settings),
        with_settings((TurnRules(),), settings),
    )
    if push_to_talk and input:
        raise DailytalkError("--push-to-talk does not go with --input", "leave one of them out")
    if web and (input or sound_device):
        raise DailytalkError(
            f"{'--input' if input else '--sound-device'} does not go with --web",
            "leave one of them out: the page has a microphone of its own",
        )
    models = models.of(profile or STANDARD) if profile or models.tts else _chosen_here(models)
    folder = None if no_save else out
    console = Console(stderr=as_json)
    instructions = talk_setup.read_instructions(system)

    def asked(question: str) -> bool:
        return consent or (sys.stdin.isatty() and typer.confirm(visible(question), default=False))

    voice = talk_setup.open_voice(models, folder, asked)
    talks: list[Talk] = []
    screen = TalkScreen(console)

    def tell(sentence: str) -> None:  # at once, since a talk that waits for sound shows nothing
        screen.show(TalkEvent("notice", talks[0].time if talks else 0.0, sentence))

    def answered() -> bool:
        return bool(talks) and talks[0].idle

    blocks: sound_blocks.SoundBlocks
    page = None
    if web:
        try:
            from dailytalk_contiguous.apps.converse.talk_page import TalkPage
        except ImportError as error:
            raise DailytalkError(
                f"dailytalk converse --web needs {error.name}", "pip install 'dailytalk-contiguous[converse]'"
            ) from None
        blocks = page = TalkPage(port, tell)
    elif input:
        loudspeaker = sound_blocks.Loudspeaker(sound_device, "leave out --play") if play else None
        blocks = sound_blocks.FileBlocks(input, answered, loudspeaker, tell)
    else:
        blocks = sound_blocks.DeviceBlocks(sound_device, tell)
    closes = blocks.echoes and not headphones and not push_to_talk
    parts = talk_setup.open_parts(models, chat, rules, voice, instructions, push_to_talk, closes)
    record = None
    if folder is not None:
        name = datetime.now().strftime("talk-%Y%m%d-%H%M%S")
        about = talk_setup.about_talk(models, parts, voice)
        record = TalkRecord(folder, name, about, blocks.lag)
        talk_setup.remember_consent(folder, voice)
    privacy = "nothing leaves this machine"
    if services := sorted({*filter(None, (parts.chat.service, voice.service))}):
        privacy = f"what you say goes to {' and '.join(services)}; nothing else leaves this machine"
    _introduce(console, privacy, blocks.name, closes, push_to_talk and not web)

    def show(event: TalkEvent) -> None:
        screen.show(event)
        if page:
            page.show(event)

    with screen:
        talk = Talk(parts, blocks, show, record)
        talks.append(talk)
        if page:
            page_note = f"{privacy[:1].upper()}{privacy[1:]}."
            page.serve(talk, page_note, push_to_talk, lambda: _ended(talk, record))
            console.text(f"page: {page.address}")
            if not no_browser and not opened(page.hand_over()):
                tell("no browser could be opened: open that address in one")
        _obey_lines(talk, push_to_talk and not web)
        stopped = False
        try:
            run_talk(talk, blocks)
        except KeyboardInterrupt:
            stopped = True  # how a talk ends
    if stopped:
        interrupts.answered()
    rejects = blocks.rejects if isinstance(blocks, sound_blocks.FileBlocks) else []
    return talk_outcome(talk, record, len(input or ()), rejects)


def _chosen_here(models: talk_setup.TalkModels) -> talk_setup.TalkModels:
    """The models of the standard profile, or a person's choice at a terminal if its voice can't speak."""
    try:
        talk_setup.synthesiser_of(standard := models.of(STANDARD))
        return standard
    except DailytalkError as error:
        refusal = error
    talks = list(talk_setup.free_voices(models))
    if not (talks and sys.stdin.isatty()):
        without = " or ".join(command for _, command, _ in talks) or INSTALL_OFFLINE
        raise DailytalkError(refusal.reason, f"{refusal.remedy}; or without it: {without} (see docs/voices.md)")
    say(f"{refusal.reason}. Without it this can speak (see docs/voices.md):")
    for number, (speaker, command, _) in enumerate(talks, 1):
        say(f"  {number}  {speaker}: {command}")
    number = 0
    while number not in range(1, len(talks) + 1):
        number = typer.prompt("Who speaks", default=1, type=int, err=True)
    return talks[number - 1][2].of(EMBEDDED)


def _introduce(console: Console, privacy: str, microphone: str, closes: bool, push_to_talk: bool) -> None:
    console.text(f"note: {privacy}")
    console.text("note: an emotion is a guess from sound, and no diagnosis")
    if closes:
        console.text(
            "note: the microphone is closed while the voice speaks; with --headphones you may speak over it"
        )
    if push_to_talk:
        console.text("note: press Enter, speak, and press Enter again")
    console.text(f"microphone: {microphone}")


def _kept(record: TalkRecord | None) -> str | None:
    path = record and (record.folder / f"{record.name}.wav")
    return str(path) if path and path.exists() else None


def _ended(talk: Talk, record: TalkRecord | None) -> str:
    kept = _kept(record)
    where = f"It is kept in {visible(kept)}." if kept else "Nothing is kept."
    return f"The talk has ended after {length_text(talk.time)}. {where}"


def talk_outcome(talk: Talk, record: TalkRecord | None, files: int, rejects: Sequence[Reject]) -> Outcome:
    """The outcome of a talk. `files`: how many were its microphone; `rejects`: those that could not be heard."""
    medians, kept = median_steps(talk.latencies), _kept(record)
    return Outcome(
        {
            "talk": kept,
            "seconds": round(talk.time, 3),
            "replies": len(talk.latencies),
            "median_seconds_after_speech": medians,
            "rejects": [reject.as_dict() for reject in rejects],
        },
        f"kept: {kept or ('nothing' if record is None else 'nothing: nobody spoke')}",
        exit_code(files - len(rejects), len(rejects)) if rejects else 0,
        details=[
            f"talked: {length_text(talk.time)}, {counted(len(talk.latencies), 'answer')}",
            *([f"medians: {latency_text(medians)}"] if medians else []),
        ],
        rejected=rejected_of(rejects, "file"),
        next=to_run("check", record.folder) if record and kept else "",
    )


def _obey_lines(talk: Talk, push_to_talk: bool) -> None:
    """Read lines of the terminal, in a thread: `clear`, and Enter for push-to-talk."""
    if not (push_to_talk or sys.stdin.isatty()):
        return

    def read() -> None:
        while True:
            try:
                ready, _, _ = select.select([sys.stdin], [], [], 0.5)
                line = sys.stdin.readline() if ready else None
            except (OSError, ValueError):
                return
            if line == "":
                return
            if line is None:
                continue
            if line.strip().lower() == "clear":
                talk.clear()
            elif not line.strip():
                talk.press()
            else:
                talk.notice("type clear to start afresh, or end with Ctrl-C")

    threading.Thread(target=read, name="lines", daemon=True).start()
