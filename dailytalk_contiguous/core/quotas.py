"""Limits on what an untrusted input may unpack to.

A file of a few kilobytes can unpack to gigabytes. Amounts that its header declares, and those that come of a file,
a row, a sample or an answer, count against a `Quota`, which raises BadInput with the name of the input as soon as
it is exceeded. The limits follow from what the product can use. Where a header lies,
`machine.resources.limit_memory` limits what the file costs.
"""

from typing import Literal

from dailytalk_contiguous.core.errors import BadInput

#: Bytes of one row with everything in it, encoded as it came: three quarters of an hour of 16-bit stereo at 48 kHz
#: as WAV, or the longest conversation (two hours of stereo at 24 kHz) as FLAC, and its words.
MOST_ROW_BYTES = 500_000_000

#: Seconds of sound in a finished row: `export` takes two hours, and 3 MB of FLAC can hold a day of silence.
MOST_ROW_SECONDS = 36_000.0

#: Words, labels or marks of one transcript: about 100 hours of two people who never stop.
MOST_WORDS = 1_000_000

#: Words, labels or marks for each second of the recording, many times what two people say. Each costs time in
#: every stage: a million of them for a recording of six seconds would take minutes.
MOST_WORDS_A_SECOND = 100

#: Words that the transcript of any recording may have. With a transcript of two hours beside a short part of the
#: recording, the error is then about its times, which are what is wrong.
LEAST_WORDS = 20_000

#: Records of a file about many recordings, a word or a line each: 220 hours of words, which take 1.5 GB.
MOST_RECORDS = 2_200_000

#: What a quota counts.
Counted = Literal["bytes", "seconds", "words", "labels", "records", "fields", "files", "characters"]


def most_words(duration: float | None) -> float:
    """Return how many words, labels or marks the transcript of a recording may have.

    `duration` is that of the recording in seconds; None if unknown.

    >>> [most_words(seconds) for seconds in (6.0, 3600.0, None)]
    [20000, 360000.0, 1000000]
    """
    if duration is None:
        return MOST_WORDS
    return min(MOST_WORDS, max(LEAST_WORDS, MOST_WORDS_A_SECOND * duration))


class Quota:
    """A limit on the amount that one input may unpack to, and the amount so far.

    Args:
        subject: input, as the start of a sentence, such as `call.tar: its sample a`.
        most: limit, in `unit`.
        unit: unit of the count.
        remedy: remedy if the limit is exceeded.
    """

    def __init__(self, subject: str, most: float, unit: Counted, remedy: str) -> None:
        self.subject = subject
        self.most = most
        self.unit = unit
        self.remedy = remedy
        self.amount = 0.0

    def take(self, amount: float) -> None:
        """Count an amount that was unpacked, or is about to be. Raises BadInput if the total exceeds the limit.

        >>> quota = Quota("call.tar: its sample", 2e6, "bytes", "cut it into parts")
        >>> quota.take(1.5e6)
        >>> quota.take(1.5e6)
        Traceback (most recent call last):
        dailytalk_contiguous.core.errors.BadInput: call.tar: its sample has more than 2.0 MB: cut it into parts
        """
        self.amount += amount
        if self.is_exceeded:
            limit = f"{self.most:,.0f} {self.unit}"
            if self.unit == "bytes":
                limit = f"{self.most / 1e6:,.1f} MB"
            raise BadInput(f"{self.subject} has more than {limit}", self.remedy)

    @property
    def is_exceeded(self) -> bool:
        return self.amount > self.most
