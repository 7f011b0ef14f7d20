from dailytalk_contiguous.core.wording import kind_of


def test_reasons_that_differ_in_ids_quotes_and_figures_are_of_one_kind() -> None:
    held = "held back: {} could not be said: it is too short (1.12 s in place of 2.84 s) ({})"
    assert kind_of(held.format("1 utterance", "MUL/left/0010")) == kind_of(
        held.format("1 utterance", "SNG/left/3")
    )
    assert kind_of("line 3 of transcript.jsonl: channel is 'up'") == kind_of(
        "line 9 of other.jsonl: channel is 'x'"
    )
    assert kind_of("-16.5 dB is under the limit") == kind_of("-2 dB is under the limit")
    assert kind_of("its utterance a/left/0001 is that of line 3") == kind_of(
        "its utterance b/right/7 is that of line 8"
    )
    listed = "held back: could not be said: {}"
    names = [f"MUL1423/left/{number:04d}" for number in range(3)]
    assert (
        kind_of(listed.format(names[0]))
        == kind_of(listed.format(", ".join(names)))
        == "held back: could not be said: …"
    )
    assert kind_of("MUL1423 has one channel") == kind_of("SNG1640.wav has one channel") == "… has one channel"
