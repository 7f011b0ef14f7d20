"""Settings: a field says itself what a person must know to set it, and everything else is made from that."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import dailytalk_contiguous
from dailytalk_contiguous.core.errors import BadValue, DailytalkError
from dailytalk_contiguous.core.settings import (
    EXECUTION,
    Setting,
    check_known,
    check_values,
    chosen_for,
    one_of,
    setting,
    settings_in,
    settings_of,
    unlisted,
    with_settings,
)

VOICE = Setting("Whose voice it is: {choices}.", choices=("left", "right"))


@dataclass(frozen=True)
class Inner:
    shortest: float = setting(0.5, "Shortest clip.", option="min_seconds")


@dataclass(frozen=True)
class Outer:
    voice: str = setting("left", VOICE)
    plain: int = 3
    device: str = setting("auto", "Where.", execution=True)
    model: str = setting("base", "Which.", option="asr_model", reference=True)
    table: tuple[str, ...] = unlisted(("a",))
    beam: int = unlisted(5, "Width of the search.", least=1)
    threads: int = field(default=1, metadata=EXECUTION)
    inner: Inner = Inner()


@dataclass(frozen=True)
class Other:
    voice: str = setting("right", VOICE)


def test_settings_are_those_of_all_that_is_inside_in_order_and_each_has_its_option() -> None:
    listed = list(settings_in(Outer()))
    values = [(item.option, item.value) for item in listed]
    about = {item.option: item.setting.about for item in listed}
    assert values == [
        ("voice", "left"),
        ("plain", 3),
        ("device", "auto"),
        ("asr_model", "base"),
        ("beam", 5),
        ("threads", 1),
        ("min_seconds", 0.5),
    ]
    assert about["plain"] == "Plain of Outer."
    assert about["voice"] == VOICE.about


def test_record_has_what_is_computed_and_neither_how_nor_with_whose_model() -> None:
    record = settings_of(Outer(), Other())
    assert record == {"voice": "left", "plain": 3, "beam": 5, "min_seconds": 0.5}


def test_record_tells_no_path_of_this_machine() -> None:
    other = Other(voice="/home/me/secret/words.csv")
    assert settings_of(other) == {"voice": "words.csv"}


def test_options_go_to_every_field_that_has_them_and_leave_the_rest() -> None:
    options = {"voice": "mix", "min_seconds": 2.0, "unknown": 1}
    before = (Outer(plain=4), Other())
    outer, other = with_settings(before, options)
    assert outer == Outer(voice="mix", plain=4, inner=Inner(2.0))
    assert other == Other("mix")
    chosen = {"asr_model": "tiny", "table": ("b",), "beam": 3, "pace": 2}
    assert chosen_for(Outer, chosen) == {"model": "tiny", "beam": 3}


def test_field_that_is_described_and_unlisted_is_no_option() -> None:
    assert [item.option for item in settings_in(Outer()) if not item.is_option] == ["beam"]
    with pytest.raises(BadValue, match="beam can't be 0: give 1 or more"):
        check_values(Outer(beam=0))


def test_option_that_nobody_has_is_refused_with_those_there_are() -> None:
    check_known({"voice": "x", "min_seconds": 1}, Outer())
    with pytest.raises(DailytalkError, match="there is no setting 'table'") as refused:
        check_known({"table": ()}, Outer())
    assert refused.value.remedy == "choose among asr_model, beam, device, min_seconds, plain, threads, voice"


def test_nothing_is_none_of_the_choices() -> None:
    assert one_of("--to", "wav", ("wav", "flac")) == "wav"
    for value in ("", "mp3"):
        with pytest.raises(BadValue, match=f"--to can't be '{value}': give wav, flac"):
            one_of("--to", value, ("wav", "flac"))


# Units

#: The ends of a field's name, by the unit or the metavar with which it is declared.
UNITS = {
    "s": ("_seconds",),
    "time": ("_seconds",),
    "SECONDS": ("_seconds",),
    "DB": ("_db", "_dbfs"),
    "HZ": ("_hz", "sample_rate"),
    "USD": ("_usd",),
}

#: Settings from Python alone that are numbers without a unit: probabilities and rates of errors.
WITHOUT_UNIT = {"threshold", "second_threshold", "worst"}


def declared_settings() -> Iterator[tuple[str, str, ast.Call]]:
    """Yield the name, the type and the declaration of each setting of the package."""
    for path in sorted(Path(dailytalk_contiguous.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.value, ast.Call):
                continue
            if ast.unparse(node.value.func) in ("setting", "unlisted", "_limit"):
                yield ast.unparse(node.target), ast.unparse(node.annotation), node.value


def test_name_of_a_setting_ends_in_its_unit() -> None:
    unnamed = []
    n_with_unit = 0
    for name, kind, declaration in declared_settings():
        values = [*declaration.args, *(keyword.value for keyword in declaration.keywords)]
        texts = [value.value for value in values if isinstance(value, ast.Constant)]
        ends = [UNITS[text] for text in texts if text in UNITS]
        n_with_unit += len(ends)
        is_from_python = ast.unparse(declaration.func) == "unlisted" and len(declaration.args) == 1
        if is_from_python and kind.startswith("float") and name not in WITHOUT_UNIT:
            ends.append(("_seconds", "_db", "_hz"))
        unnamed += [name for possible in ends if not name.endswith(possible)]
    assert unnamed == []
    assert n_with_unit > 10
