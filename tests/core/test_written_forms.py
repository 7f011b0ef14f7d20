"""How people say what is written with digits and signs."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dailytalk_contiguous.core.words.written_forms import MOST_CHARACTERS, is_written_form, written_forms

#: Written words, and readings that they have; "|" parts them. The word that has them is the last one.
READINGS = (
    # Codes.
    ("EM3985771,", "e m three nine eight five seven seven one|e m thirty nine eighty five seven seventy one"),
    ("EM3985771,", "e m three nine eight five double seven one"),
    ("BA2490", "b a two four nine zero|b a two four nine oh|b a twenty four ninety"),
    (
        "555-0142",
        "five five five zero one four two|triple five oh one forty two|five five five dash oh one four two",
    ),
    ("+1-202-555-0199", "plus one two oh two five five five oh one double nine"),
    ("XK-7041-B", "x k dash seventy forty one dash b|x k seven oh four one b"),
    ("www2", "w w w two|double u double u double u two"),
    # Numbers.
    ("1984", "nineteen eighty four|one nine eight four|one thousand nine hundred and eighty four"),
    ("2008", "two thousand and eight|two thousand eight|twenty oh eight"),
    ("1,299", "one thousand two hundred ninety nine|twelve ninety nine|twelve hundred and ninety nine"),
    ("20,000", "twenty thousand"),
    ("150,000", "one hundred and fifty thousand|a hundred fifty thousand"),
    ("5500", "fifty five hundred|five thousand five hundred"),
    ("42.5%", "forty two point five percent|forty two and a half percent|four two point five per cent"),
    ("0.05", "zero point zero five|point oh five|oh point oh five"),
    (".5", "point five"),
    ("-3°", "minus three degrees|minus three|negative three degrees"),
    ("72°F", "seventy two degrees fahrenheit|seventy two degrees f|seventy two"),
    ("22nd", "twenty second"),
    ("1990s", "nineteen nineties"),
    ("'90s", "nineties"),
    ("3/4", "three quarters|three fourths|three slash four|three out of four"),
    ("1/2", "half|a half|one half|one slash two"),
    ("1½", "one and a half"),
    ("15-20", "fifteen to twenty|fifteen twenty|fifteen dash twenty"),
    ("#42", "number forty two|hash four two"),
    ("24/7", "twenty four seven"),
    # Amounts.
    ("$1,299.50", "one thousand two hundred ninety nine dollars and fifty cents|twelve ninety nine fifty"),
    (
        "$1,299.50",
        "twelve hundred and ninety nine dollars fifty|one thousand two hundred and ninety nine point five oh",
    ),
    ("$0.99", "ninety nine cents|zero dollars and ninety nine cents"),
    ("$1.50", "a dollar fifty|one dollar and fifty cents|one fifty"),
    ("$5-10", "five to ten dollars"),
    ("£5.2m", "five point two million pounds|five point two million"),
    ("€75k", "seventy five thousand euros|seventy five k"),
    ("12,50€", "twelve point fifty euros|twelve fifty euros"),
    ("$5 million", "million|million dollars"),
    # Addresses.
    ("anna.smith@example.com", "anna dot smith at example dot com|a n n a dot smith at example dot com"),
    ("www.example.org/help", "w w w dot example dot org slash help|example dot org forward slash help"),
    ("https://example.org", "example dot org|h t t p s colon slash slash example dot org"),
    ("my-shop.co.uk", "my dash shop dot co dot u k|my hyphen shop dot co dot uk"),
    ("192.168.0.12", "one ninety two dot one sixty eight dot zero dot twelve"),
    # Times and dates.
    ("10:30", "ten thirty|half past ten"),
    ("7:05pm", "seven oh five p m|seven five pm"),
    ("7:45", "seven forty five|a quarter to eight|quarter of eight"),
    ("9:00", "nine|nine o'clock|nine oh oh"),
    ("14:00", "fourteen hundred|two o'clock|fourteen"),
    ("23/05/2026,", "twenty third of may twenty twenty six|the twenty third of the fifth twenty six"),
    (
        "23/05/2026,",
        "may the twenty third two thousand and twenty six|twenty three slash five slash twenty twenty six",
    ),
    ("5/23/2026", "may twenty third twenty twenty six"),
    ("2026-05-23", "twenty twenty six may twenty third"),
    ("May 5", "five|fifth|the fifth"),
    ("5", "five"),
    # Units, and words between signs.
    ("5kg", "five kilograms|five kilos|five k g"),
    ("100 km/h", "kilometers an hour|kilometers per hour|k m slash h"),
    ("R&D", "r and d"),
    ("and/or", "and or|and slash or"),
)


@pytest.mark.parametrize(("written", "readings"), READINGS)
def test_what_is_written_is_read_as_people_say_it(written: str, readings: str) -> None:
    form = written_forms(written.split())[-1]
    assert form is not None
    chains = {" ".join(chain) for chain in form.chains()}
    for reading in readings.split("|"):
        assert reading in chains


@pytest.mark.parametrize(
    "word", ["Hello,", "well-known", "p.m.", "e.g.", "U.S.", "o'clock", "—so", "don’t…", "NASA"]
)
def test_words_that_are_said_as_they_are_spelled_are_no_written_forms(word: str) -> None:
    assert not is_written_form(word)
    assert written_forms([word]) == [None]


def test_a_day_is_an_ordinal_and_a_scale_has_a_currency_only_beside_what_makes_it_one() -> None:
    alone, scale = written_forms(["5", "million"])
    assert alone is not None
    assert ("fifth",) not in alone.chains()
    assert scale is None


@given(st.text("0123456789aemwz$€£%°@#/.,:-–+&'½ß²", min_size=1, max_size=MOST_CHARACTERS))
@example(".–0")
def test_each_written_form_has_a_reading_and_their_number_grows_with_its_length_only(word: str) -> None:
    (form,) = written_forms([word])
    if form is None or not any(letter.isascii() and letter.isalnum() for letter in word):
        return
    positions = {0}
    for reading in form.readings:  # in order of their start
        assert reading.words
        if reading.start in positions:
            positions.add(reading.end)
    assert form.length in positions
    assert len(form.readings) <= 40 * len(word) + 40


def test_a_word_that_nobody_says_has_no_readings() -> None:
    (form,) = written_forms(["7" * (MOST_CHARACTERS + 1)])
    assert form is not None
    assert not form.readings
