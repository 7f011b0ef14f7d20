"""ISO 639-3 codes of languages, which some trainers want in place of those of ISO 639-1."""

from dailytalk_contiguous.core.words.fillers import language_code

#: ISO 639-3 for a language that is not known.
UNKNOWN_LANGUAGE = "und"

#: Each code of ISO 639-1, and the ISO 639-3 code of the same language.
_PAIRS = """
    aa aar ab abk ae ave af afr ak aka am amh an arg ar ara as asm av ava ay aym az aze
    ba bak be bel bg bul bi bis bm bam bn ben bo bod br bre bs bos
    ca cat ce che ch cha co cos cr cre cs ces cu chu cv chv cy cym
    da dan de deu dv div dz dzo ee ewe el ell en eng eo epo es spa et est eu eus
    fa fas ff ful fi fin fj fij fo fao fr fra fy fry ga gle gd gla gl glg gn grn gu guj gv glv
    ha hau he heb hi hin ho hmo hr hrv ht hat hu hun hy hye hz her
    ia ina id ind ie ile ig ibo ii iii ik ipk io ido is isl it ita iu iku ja jpn jv jav
    ka kat kg kon ki kik kj kua kk kaz kl kal km khm kn kan ko kor kr kau ks kas ku kur kv kom kw cor ky kir
    la lat lb ltz lg lug li lim ln lin lo lao lt lit lu lub lv lav
    mg mlg mh mah mi mri mk mkd ml mal mn mon mr mar ms msa mt mlt my mya
    na nau nb nob nd nde ne nep ng ndo nl nld nn nno no nor nr nbl nv nav ny nya
    oc oci oj oji om orm or ori os oss pa pan pi pli pl pol ps pus pt por
    qu que rm roh rn run ro ron ru rus rw kin
    sa san sc srd sd snd se sme sg sag sh hbs si sin sk slk sl slv sm smo sn sna so som sq sqi sr srp ss ssw
    st sot su sun sv swe sw swa
    ta tam te tel tg tgk th tha ti tir tk tuk tl tgl tn tsn to ton tr tur ts tso tt tat tw twi ty tah
    ug uig uk ukr ur urd uz uzb ve ven vi vie vo vol wa wln wo wol xh xho yi yid yo yor za zha zh zho zu zul
    """

_CODES = _PAIRS.split()

#: ISO 639-3 by ISO 639-1; `jw` is what Whisper calls Javanese.
ISO_639_3 = dict(zip(_CODES[::2], _CODES[1::2], strict=True)) | {"jw": "jav"}


def iso_639_3(language: str | None) -> str:
    """Return the ISO 639-3 code of a language by its ISO 639 code, with or without a region.

    A code of three letters stays. The result is `UNKNOWN_LANGUAGE` for no code or an invalid one.

    >>> iso_639_3("en-GB"), iso_639_3("yue"), iso_639_3(None)
    ('eng', 'yue', 'und')
    """
    code = language_code(language)
    is_long_code = len(code) == 3 and code.isascii() and code.isalpha()
    if is_long_code:
        return code
    return ISO_639_3.get(code, UNKNOWN_LANGUAGE)
