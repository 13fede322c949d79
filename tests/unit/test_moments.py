"""Local date-times to instants and back: the two hours a year that are not simple, and the rest."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sync.declare.moments import (
    day_of,
    in_order,
    local_day,
    local_text,
    may_repeat,
    spellings,
    utc_of_local,
    utc_of_offset,
    zone_of,
)

MADRID, MOSCOW = zone_of("Europe/Madrid"), zone_of("Europe/Moscow")
SANTIAGO, LORD_HOWE = zone_of("America/Santiago"), zone_of("Australia/Lord_Howe")
ZONES = (
    "Europe/Madrid",
    "Europe/Moscow",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Pacific/Apia",
    "UTC",
)


def naive(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def utc(text: str) -> dt.datetime:
    return naive(text).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("zone", "text", "instant"),
    [
        ("Europe/Madrid", "2026-10-25 02:30:00", "2026-10-25 00:30:00"),  # CEST, not CET
        ("Europe/Madrid", "2026-10-25 02:00:00", "2026-10-25 00:00:00"),
        ("Europe/Madrid", "2026-10-25 02:59:59", "2026-10-25 00:59:59"),
        ("Europe/Madrid", "2026-10-25 03:00:00", "2026-10-25 02:00:00"),
        ("America/Santiago", "2026-04-04 23:30:00", "2026-04-05 02:30:00"),
        ("Australia/Lord_Howe", "2026-04-05 01:45:00", "2026-04-04 14:45:00"),  # half an hour
    ],
)
def test_the_hour_that_happens_twice_takes_the_earlier_reading(
    zone: str, text: str, instant: str
) -> None:
    """The API sends no offset, so one of the two is chosen, always the same."""
    assert utc_of_local(text, zone_of(zone)) == utc(instant)


@pytest.mark.parametrize(
    ("zone", "text", "shown"),
    [
        ("Europe/Madrid", "2026-03-29 02:30:00", "2026-03-29 03:30:00"),
        ("Europe/Madrid", "2026-03-29 02:00:00", "2026-03-29 03:00:00"),
        ("America/Santiago", "2026-09-06 00:15:00", "2026-09-06 01:15:00"),
        ("Australia/Lord_Howe", "2026-10-04 02:10:00", "2026-10-04 02:40:00"),  # half an hour
        ("Pacific/Apia", "2011-12-30 12:00:00", "2011-12-31 12:00:00"),  # a whole day
    ],
)
def test_the_hour_that_never_happens_moves_forward_by_the_gap(
    zone: str, text: str, shown: str
) -> None:
    """A time the clocks skipped is read as the clock that was not put forward would show it."""
    moment = utc_of_local(text, zone_of(zone))
    assert moment is not None
    assert local_text(moment, zone_of(zone)) == shown


def test_the_rules_are_ours_and_not_pendulums() -> None:
    """pendulum by itself takes the later reading; whoever 'simplifies' to it must see this fail."""
    import pendulum

    theirs = pendulum.parse("2026-10-25 02:30:00", tz="Europe/Madrid")
    assert theirs != utc_of_local("2026-10-25 02:30:00", MADRID)


@pytest.mark.parametrize(
    "text",
    ["", "  ", "0000-00-00", "0000-00-00 00:00:00", "-0001-11-30 00:00:00", "-0001-11-30"],
)
def test_phps_zero_dates_and_empty_text_are_nothing(text: str) -> None:
    assert utc_of_local(text, MADRID) is None
    assert utc_of_offset(text, MADRID) is None


def test_a_zero_date_with_an_offset_is_nothing_too() -> None:
    assert utc_of_offset("-0001-11-30T00:00:00+00:00", MADRID) is None
    assert utc_of_offset("0000-00-00T00:00:00+00:00", MADRID) is None


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31 23:59:59", "2026-01-31 22:59:59"),
        ("2026-01-31T23:59:59", "2026-01-31 22:59:59"),
        ("2026-01-31 23:59", "2026-01-31 22:59:00"),  # a task's due time
        ("2026-01-31", "2026-01-30 23:00:00"),
        (" 2026-01-31 23:59:59 ", "2026-01-31 22:59:59"),
        ("2026-01-31 23:59:59.25", "2026-01-31 22:59:59.250000"),
        ("2026-01-31 23:59:59.123456789", "2026-01-31 22:59:59.123456"),
        ("2024-02-29 12:00:00", "2024-02-29 11:00:00"),
    ],
)
def test_local_forms(text: str, instant: str) -> None:
    assert utc_of_local(text, MADRID) == utc(instant)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-05-08 15:10:30-05:00", "2024-05-08 20:10:30"),
        ("2024-05-08T15:10:30+0300", "2024-05-08 12:10:30"),
        ("2024-05-08T15:10:30+03", "2024-05-08 12:10:30"),
        ("2024-05-08T15:10:30Z", "2024-05-08 15:10:30"),
        ("2024-05-08T15:10:30.5+03:00", "2024-05-08 12:10:30.500000"),
        ("2024-05-08T15:10:30+00:00", "2024-05-08 15:10:30"),
    ],
)
def test_an_offset_is_obeyed_wherever_it_stands(text: str, instant: str) -> None:
    """An offset is better than the store's zone, also where none was declared."""
    assert utc_of_offset(text, MADRID) == utc(instant)
    assert utc_of_local(text, MADRID) == utc(instant)


def test_a_declared_offset_that_is_missing_means_the_stores_zone() -> None:
    assert utc_of_offset("2024-05-08 15:10:30", MADRID) == utc("2024-05-08 13:10:30")
    assert utc_of_offset("2024-05-08", MADRID) == utc("2024-05-07 22:00:00")


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "31.01.2026",
        "2026-13-01 00:00:00",
        "2026-02-30 00:00:00",
        "2026-01-31 25:00:00",
        "2026-01-31 24:00:00",
        "2026-01-31 23:59:59 MSK",
        "2026-01-31 23",
        "2026-01-3112",  # looks like a day followed by an offset
        "2026-01-31:12",
        "2026-01-31-05:00",  # an offset without a time: never the zone of this machine
        "2026-01-31+03",
        "2024-05-08T15:10:30+99:00",
        "1700000000",
    ],
)
def test_what_is_no_date_time_is_refused_in_words(text: str) -> None:
    """ValueError and nothing else: the normaliser keeps the value with this reason."""
    for read in (utc_of_local, utc_of_offset):
        with pytest.raises(ValueError, match=r"."):
            read(text, MADRID)


def test_the_ends_of_the_calendar() -> None:
    """Years 1 and 9999 are dates like others, unless UTC puts them outside the calendar."""
    assert utc_of_local("0001-01-01 12:00:00", zone_of("UTC")) == utc("0001-01-01 12:00:00")
    assert utc_of_local("9999-12-31 23:59:59", MOSCOW) == utc("9999-12-31 20:59:59")
    with pytest.raises(ValueError, match="outside the calendar"):
        utc_of_local("0001-01-01 00:00:00", MOSCOW)
    with pytest.raises(ValueError, match="outside the calendar"):
        utc_of_local("9999-12-31 23:59:59", SANTIAGO)
    with pytest.raises(ValueError, match="offset"):
        utc_of_offset("0001-01-01T00:00:00+03:00", MOSCOW)


@given(st.datetimes(naive("1970-01-02"), naive("2037-12-30")), st.sampled_from(ZONES))
@example(naive("2026-10-25 02:30"), "Europe/Madrid")
@example(naive("2026-03-29 02:30"), "Europe/Madrid")
def test_every_local_time_is_read_as_the_tz_database_reads_it_first(
    local: dt.datetime, zone: str
) -> None:
    """The same instant as zoneinfo's fold=0, which is the earlier reading."""
    expected = local.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(dt.UTC)
    assert utc_of_local(local.isoformat(" "), zone_of(zone)) == expected


@given(
    st.datetimes(naive("1990-01-02"), naive("2037-12-30"), timezones=st.just(dt.UTC)),
    st.sampled_from(ZONES),
)
def test_a_filter_names_a_moment_that_is_read_back_no_later(
    moment: dt.datetime, zone_name: str
) -> None:
    """A bound rendered in the store's zone may fall earlier in the doubled hour, never later."""
    zone, moment = zone_of(zone_name), moment.replace(microsecond=0)
    read = utc_of_local(local_text(moment, zone), zone)
    assert read is not None
    assert dt.timedelta(0) <= moment - read <= dt.timedelta(hours=1)


@given(st.text(max_size=40) | st.from_regex(r"\A\d{4}-\d{2}-\d{2}.{0,12}\Z"))
def test_no_text_does_worse_than_a_value_error(text: str) -> None:
    """Also text that begins like a date: the normaliser catches ValueError and nothing else."""
    for read in (utc_of_local, utc_of_offset):
        try:
            moment = read(text, LORD_HOWE)
        except ValueError:
            continue
        assert moment is None or moment.tzinfo is dt.UTC


def test_a_zone_without_a_name_in_the_tz_database_is_refused() -> None:
    with pytest.raises(ValueError, match="Europe/Moscow"):
        zone_of("Mars/Olympus")


def test_the_local_day_is_the_stores_day() -> None:
    assert local_day(utc("2026-01-31 22:30:00"), MOSCOW) == dt.date(2026, 2, 1)
    assert local_day(utc("2026-01-31 22:30:00"), SANTIAGO) == dt.date(2026, 1, 31)


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2026-01-31 23:59:59", dt.date(2026, 1, 31)),
        ("2026-03-29 02:30:00", dt.date(2026, 3, 29)),  # also in a missing hour
        ("2026-01-31", dt.date(2026, 1, 31)),
        ("2026-01-01 00:30:00+03:00", dt.date(2025, 12, 31)),  # 22:30 in Madrid
        ("2026-01-01T23:30:00Z", dt.date(2026, 1, 2)),
        ("0000-00-00 00:00:00", None),
        ("soon", None),
        ("", None),
        (None, None),
        (20260131, None),
        ([], None),
    ],
)
def test_the_creation_day_is_the_one_that_stands_in_the_text(
    value: object, day: dt.date | None
) -> None:
    """Day filters of the API compare the text's own day, so windows are counted by it; of a time
    with an offset it is the store's day of that moment, the day of `created_at`."""
    assert day_of(value, MADRID) == day


@pytest.mark.parametrize(
    ("sent", "names"),
    [
        ("Europe/Kiev", ("Europe/Kyiv", "Europe/Kiev")),
        ("Europe/Kyiv", ("Europe/Kyiv", "Europe/Kiev")),
        ("America/Buenos_Aires", ("America/Argentina/Buenos_Aires", "America/Buenos_Aires")),
        ("Asia/Calcutta", ("Asia/Kolkata", "Asia/Calcutta")),
        ("US/Eastern", ("America/New_York", "US/Eastern")),
        ("Europe/Copenhagen", ("Europe/Copenhagen",)),  # has Berlin's clock, and a name of its own
        ("Europe/Moscow", ("Europe/Moscow", "W-SU")),
        ("UTC", ("UTC",)),
        ("Etc/GMT-3", ("Etc/GMT-3",)),
    ],
)
def test_a_zone_is_offered_by_its_present_name_first(sent: str, names: tuple[str, ...]) -> None:
    """A former name is tried where the server's files are older than the new one."""
    assert spellings(sent)[: len(names)] == names


def test_every_zone_there_is_has_a_present_name_with_the_same_clock() -> None:
    """Rows are made with the clock of the present name, whichever the account sent."""
    lately = [naive(f"{year}-{month}-15") for year in (1998, 2012, 2026) for month in ("01", "07")]
    for sent in available_timezones() - {"Factory", "localtime", "posixrules"}:
        present = spellings(sent)[0]
        assert spellings(present)[0] == present
        for moment in lately:
            offsets = {
                moment.replace(tzinfo=ZoneInfo(name)).utcoffset() for name in (sent, present)
            }
            assert len(offsets) == 1, (sent, present, moment)


@pytest.mark.parametrize(
    ("told", "read"),
    [
        # 40 minutes on, then 45 back: the last is in the hour that came a second time.
        (("02:10", "02:50", "02:05"), ("00:10", "00:50", "01:05")),
        (("02:50", "02:05", "02:10", "03:00"), ("00:50", "01:05", "01:10", "02:00")),
        # What nothing proves is the earlier one; saves that overlap prove nothing.
        (("01:59", "02:30", "03:00"), ("23:59", "00:30", "02:00")),
        (("02:30:20", "02:30:00", "02:31"), ("00:30:20", "00:30:00", "00:31")),
        # An entry with a time from another day proves nothing of the next.
        (("05:00", "02:10", "02:20"), ("04:00", "00:10", "00:20")),
    ],
)
def test_entries_of_a_history_decide_the_repeated_hour(
    told: tuple[str, ...], read: tuple[str, ...]
) -> None:
    """Ids ascend, so an entry is not an hour before the one in front of it."""
    moments = [utc_of_local(f"2025-10-26 {at}", MADRID) for at in told]
    entries = [(number, at) for number, at in enumerate(moments) if at is not None]
    found = [at for _, at in in_order(entries, MADRID)]
    assert found == [utc(f"2025-10-{25 if at.startswith('23') else 26} {at}") for at in read]


def test_an_entry_proven_before_stays_proven_in_front_of_the_next() -> None:
    """The first entry may be a stored one: what proved its time is not read again."""
    stored = (2, utc("2025-10-26 01:10"))
    fresh = [(3, utc("2025-10-26 00:20")), (4, utc("2025-10-26 02:00"))]
    read = [stored, (3, utc("2025-10-26 01:20")), fresh[1]]
    assert list(in_order([stored, *fresh], MADRID)) == read
    assert list(in_order([stored, fresh[1]], MADRID)) == [stored, fresh[1]]


@pytest.mark.parametrize("name", ZONES)
def test_days_around_a_repeated_hour_are_noticed(name: str) -> None:
    """Every moment that has two readings is on such a day; whole months are not."""
    zone = zone_of(name)
    noticed = 0
    for day in range(3 * 365):
        at = utc("2024-01-01 00:00:00") + dt.timedelta(days=day)
        noticed += may_repeat(at.date(), zone)
        for half_hours in range(48):
            moment = at + dt.timedelta(minutes=30 * half_hours)
            local = moment.astimezone(zone).replace(tzinfo=None)
            readings = {local.replace(tzinfo=zone, fold=fold).astimezone(dt.UTC) for fold in (0, 1)}
            assert len(readings) == 1 or may_repeat(moment.date(), zone)
    assert noticed <= 3 * 3
