"""Errors that people read: options on the command line, arguments in Python, the same remedy in both."""

import pickle
import re

import pytest

from dailytalk_contiguous import DailytalkError, PerUtterance, Segment, Transcribe
from dailytalk_contiguous.core.errors import BadValue

OPTION = re.compile(r"--[a-z]")


def test_remedy_names_options_on_the_command_line_and_arguments_in_python() -> None:
    error = DailytalkError("--out 'a--b' is taken", "raise --max-cost, or run `dailytalk plan --speak`")
    assert error.sentence == "--out 'a--b' is taken: raise --max-cost, or run `dailytalk plan --speak`"
    assert str(error) == "`out=` 'a--b' is taken: raise `max_cost=`, or run `dailytalk plan --speak`"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert "--no-deps" in str(DailytalkError("it is missing", "pip install --no-deps silero-vad"))


def test_what_is_wrong_at_construction_is_one_sentence_of_python() -> None:
    with pytest.raises(DailytalkError, match="there is no Whisper model 'nope'") as unknown:
        Transcribe(model="nope")
    with pytest.raises(BadValue, match="choose among") as refused:
        Segment(channel="top")
    with pytest.raises(DailytalkError, match="Segment takes conversations as they are: leave PerUtterance out"):
        PerUtterance(Segment())
    assert not any(OPTION.search(str(error.value)) for error in (unknown, refused))
