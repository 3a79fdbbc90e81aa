from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.errors import DeploymarkError, InstantError
from deploymark.model.instants import format_instant, parse_instant

READ = {
    "the epoch": ("1970-01-01T00:00:00Z", 0),
    "the form that is written": ("2026-11-23T00:00:00.000Z", 1_795_392_000_000),
    "no fraction": ("2026-11-23T00:00:00Z", 1_795_392_000_000),
    "one digit": ("1970-01-01T00:00:00.5Z", 500),
    "nanoseconds are cut off": ("1970-01-01T00:00:00.123999999Z", 123),
    "a hundred digits": ("1970-01-01T00:00:00." + "1" * 100 + "Z", 111),
    "small letters": ("1970-01-01t00:00:01z", 1000),
    "an offset to the east": ("1970-01-01T02:00:00+02:00", 0),
    "an offset to the west": ("1969-12-31T18:30:00-05:30", 0),
    "an unknown local offset": ("1970-01-01T00:00:00-00:00", 0),
    "before the epoch": ("1969-12-31T23:59:59.999Z", -1),
    "a leap day": ("2024-02-29T00:00:00Z", 1_709_164_800_000),
    "the first of all": ("0001-01-01T01:00:00+01:00", -62_135_596_800_000),
    "the last of all": ("9999-12-31T22:59:59.999-01:00", 253_402_300_799_999),
}
REFUSED = {
    "nothing": "",
    "a date": "2026-11-23",
    "no zone": "2026-11-23T00:00:00",
    "a space": "2026-11-23 00:00:00Z",
    "a space in front": " 2026-11-23T00:00:00Z",
    "a newline behind": "2026-11-23T00:00:00Z\n",
    "a day that is not": "2026-02-30T00:00:00Z",
    "a month that is not": "2026-13-01T00:00:00Z",
    "year zero": "0000-01-01T00:00:00Z",
    "hour 24": "2026-11-23T24:00:00Z",
    "a leap second": "2016-12-31T23:59:60Z",
    "an offset of 24 hours": "2026-11-23T00:00:00+24:00",
    "an offset of 60 minutes": "2026-11-23T00:00:00+00:60",
    "an offset without colon": "2026-11-23T00:00:00+0000",
    "an empty fraction": "2026-11-23T00:00:00.Z",
    "a comma": "2026-11-23T00:00:00,5Z",
    "digits of another script": "\uff12026-11-23T00:00:00Z",
    "a number": "1795392000",
    "an offset out of the first year": "0001-01-01T00:00:00+01:00",
    "an offset out of the last year": "9999-12-31T23:59:59-00:01",
}


@pytest.mark.parametrize(("text", "expected"), READ.values(), ids=READ)
def test_a_timestamp_is_read(text: str, expected: int) -> None:
    assert parse_instant(text) == expected


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_a_timestamp_outside_rfc_3339_is_refused(text: str) -> None:
    with pytest.raises(InstantError):
        parse_instant(text)


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_what_is_written_reads_back(ms: int) -> None:
    text = format_instant(ms)
    assert len(text) == 24
    assert parse_instant(text) == ms


@given(
    st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)),  # noqa: DTZ001
    st.integers(-1439, 1439),
)
def test_offsets_agree_with_the_standard_library(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    text = aware.isoformat(timespec="microseconds")
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    assert parse_instant(text) == since // timedelta(milliseconds=1)


@given(st.text())
def test_any_other_text_is_refused_with_our_error(text: str) -> None:
    with pytest.raises(DeploymarkError):
        parse_instant(text)


@pytest.mark.parametrize("ms", [-62_135_596_800_001, 253_402_300_800_000, 10**30])
def test_a_year_outside_0001_to_9999_cannot_be_written(ms: int) -> None:
    with pytest.raises(InstantError):
        format_instant(ms)
