"""What models of the probe may know of a conversation: nothing that comes."""

import numpy as np
from built_conversations import flac
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from paired_talks import paired, row_of

from dailytalk_contiguous.apps.probe.activity import ActivityFrames, with_other_partners
from dailytalk_contiguous.apps.probe.heard_voice import heard_voices
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.publish.items import ItemSound

STRETCH = st.tuples(st.booleans(), st.integers(1, 60))
SIDES = st.lists(STRETCH, min_size=1, max_size=8)


def as_frames(stretches: list[tuple[bool, int]]) -> NDArray[np.bool_]:
    """Whether each frame of a side is active, from stretches with their number of frames."""
    active, lengths = zip(*stretches, strict=True)
    return np.repeat(np.array(active), np.array(lengths))


@given(SIDES, SIDES, st.data())
def test_what_is_known_at_a_frame_depends_on_nothing_that_comes(
    left: list[tuple[bool, int]], right: list[tuple[bool, int]], data: st.DataObject
) -> None:
    sides = [as_frames(left), as_frames(right)]
    length = min(map(len, sides))
    active = np.stack([side[:length] for side in sides], axis=1)
    frame = data.draw(st.integers(0, length - 1))
    whole = ActivityFrames.from_conversations([active])
    part = ActivityFrames.from_conversations([active[: frame + 1]])
    for side in (0, 1):
        of_whole = whole.features(np.array([frame]), side)
        of_part = part.features(np.array([frame]), side)
        assert np.isfinite(of_whole).all()
        assert np.array_equal(of_whole, of_part)


def test_every_side_gets_the_partner_of_another_conversation() -> None:
    talks = [np.full((100 + number, 2), number % 2 == 0) for number in range(5)]
    for number, talk in enumerate(talks):
        talk[: number + 1, 1] = ~talk[: number + 1, 1]
    for number, pair in enumerate(with_other_partners(talks, range(5), 0)):
        recorded = talks[number][: len(pair)]
        same = pair == recorded
        assert same[:, 0].all()
        assert not same[:, 1].all()


def test_what_is_heard_at_a_frame_depends_on_no_sound_after_it() -> None:
    active = paired(12.0, 2)
    row = row_of("a", active)
    pcm = read_pcm(row["audio"], sample_rate=8000) // 8
    pcm[86_000:] *= 8  # what is soft must not become silence because of it
    row["audio"] = {"bytes": flac(pcm, 8000), "path": None}
    heard = heard_voices(ItemSound(row["audio"]), active)
    assert heard.shape == (len(active), 2, 8)
    assert heard.any(axis=0).all()
    for frame in (60, 121, 190):
        n_frames = frame + 1
        cut = {"bytes": flac(pcm[: n_frames * 400], 8000), "path": None}
        heard_in_cut = heard_voices(ItemSound(cut), active[:n_frames])
        # Except what the end of the filter that resamples does to the last samples.
        assert np.allclose(heard_in_cut, heard[:n_frames], rtol=0, atol=1e-4)
