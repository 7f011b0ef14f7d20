"""`dailytalk converse`: a spoken conversation with recognised emotion, kept as training data."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dailytalk_contiguous.apps.converse import sound_blocks, talk_setup
from dailytalk_contiguous.apps.converse.talk import Talk, TalkEvent
from dailytalk_contiguous.apps.converse.talk_record import TalkRecord
from dailytalk_contiguous.apps.converse.talk_screen import TalkScreen
from dailytalk_contiguous.apps.converse.talk_settings import TalkSettings
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Console, Panel, as_json, opened, option, visible
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.outcome import Outcome, to_run
from dailytalk_contiguous.core.settings import is_own_file, with_settings
from dailytalk_contiguous.core.wording import length_text
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.models.engines import engine_named
from dailytalk_contiguous.models.profiles import EMBEDDED

if TYPE_CHECKING:
    from dailytalk_contiguous.apps.converse.talk_page import TalkPage

CONVERSE_SETTINGS = cli_options.setting_options(TalkSettings())


@cli_options.with_options(CONVERSE_SETTINGS, cli_options.VOICE_FILES)
def converse(
    profile: str = cli_options.profile_option(EMBEDDED),
    input: list[Path] | None = option(
        None,
        Panel.INPUT,
        "A sound file instead of the microphone; may be repeated, and each waits for its answer.",
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
        "Microphone and loudspeaker, by name or number.",
        metavar="NAME",
        show_default="the system's",
    ),
    headphones: bool = option(
        False, Panel.RUN, "You wear headphones: the microphone stays open while the voice speaks.", "--headphones"
    ),
    web: bool = option(False, Panel.RUN, "Talk in a page of your browser.", "--web"),
    port: int = cli_options.PORT,
    no_browser: bool = cli_options.NO_BROWSER,
    consent: bool = option(
        False,
        Panel.VOICE,
        "State that the speaker of clone:FILE has agreed, so that you are not asked.",
        "--consent",
    ),
    **options: Any,
) -> Outcome:
    """Talk with this machine: it hears words and emotion.

    It answers aloud. Each talk is kept in --out as stereo sound with its words, the voice on the left and
    you on the right, ready for `check` and `export`. Ctrl-C ends the talk. An emotion is a guess from sound,
    not a diagnosis. Nothing leaves this machine unless a service is chosen, whose name is shown first.
    """
    cli_options.on_this_machine("--out", out)
    if web and (input or sound_device):
        other = "--input" if input else "--sound-device"
        raise DailytalkError(
            f"{other} does not go with --web", "leave one of them out: the page has a microphone of its own"
        )
    settings = _settings_of(options, profile)
    console = Console(stderr=as_json())
    instructions = talk_setup.read_instructions(system)

    def ask(question: str) -> bool:
        return consent or (sys.stdin.isatty() and typer.confirm(visible(question), default=False))

    voice = talk_setup.TalkVoice(settings, ask)
    page = _open_page(port) if web else None
    blocks: sound_blocks.SoundBlocks
    if page:
        blocks = page
    elif input:
        blocks = sound_blocks.FileBlocks(input)
    else:
        blocks = sound_blocks.DeviceBlocks(sound_device)
    if headphones:
        blocks.echoes = False
    parts = talk_setup.open_parts(settings, voice, instructions)
    about = talk_setup.about_talk(settings, parts, voice)
    name = datetime.now().strftime("talk-%Y%m%d-%H%M%S")
    record = None if no_save else TalkRecord(out, name, about, blocks.lag)
    privacy = "nothing leaves this machine"
    if about["services"]:
        services = " and ".join(about["services"])
        privacy = f"what you say goes to {services}; nothing else leaves this machine"
    notes = [privacy, "an emotion is a guess from sound, not a diagnosis"]
    if blocks.echoes:
        notes.append("the microphone is closed while the voice speaks; with --headphones you may speak over it")
    for note in notes:
        console.detail(f"note: {note}")
    console.detail(f"microphone: {blocks.name}")
    screen = TalkScreen(console)

    def show(event: TalkEvent) -> None:
        screen.show(event)
        if page:
            page.show(event)

    with screen:
        talk = Talk(settings, parts, blocks, show, record)
        if page:
            page.serve(talk, f"{privacy[:1].upper()}{privacy[1:]}.")
            console.detail(f"page: {page.address}")
            if not no_browser and not opened(page.hand_over()):
                talk.say("no browser could be opened: open that address in one")
        try:
            talk.run()
        except KeyboardInterrupt:  # how a talk ends
            interrupts.answered()
    details = [f"talked: {length_text(talk.time)}"]
    seconds = round(talk.time, 3)
    kept = talk.kept_sound
    if kept is None:
        reason = "nothing: nobody spoke" if record else "nothing"
        return Outcome({"talk": None, "seconds": seconds}, f"kept: {reason}", details=details)
    values = {"talk": str(kept), "seconds": seconds}
    return Outcome(values, f"kept: {kept}", details=details, next=to_run("check", out))


def _settings_of(options: Mapping[str, object], profile: str) -> TalkSettings:
    """The settings of a talk by the options of the command, with those of a voice in a file of its own."""
    shared = cli_options.chosen(options, CONVERSE_SETTINGS)
    (chosen,) = with_settings((TalkSettings(),), shared)
    settings = chosen.with_profile(profile)
    if not is_own_file(settings.tts):
        return settings
    defaults = engine_named(settings.tts).options
    (voice_options,) = with_settings((defaults,), shared | cli_options.own_of(options, defaults))
    return replace(settings, options=voice_options)


def _open_page(port: int) -> "TalkPage":
    try:
        # Only here, as it imports starlette, uvicorn and websockets, which may not be installed.
        from dailytalk_contiguous.apps.converse.talk_page import TalkPage
    except ImportError as error:
        raise DailytalkError(
            f"dailytalk converse --web needs {error.name}",
            "pip install '.[converse]' in a checkout of dailytalk_contiguous",
        ) from None
    return TalkPage(port)
