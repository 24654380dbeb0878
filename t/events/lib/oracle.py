"""When the next occurrence is due, told without PostgreSQL: dateutil counts
the intervals, zoneinfo has the zones."""
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

UTC = timezone.utc
# Links of IANA's (since its 2024b). PostgreSQL alone would take these four for
# abbreviations, which know no summer time.
LINKS = {"CET": "Europe/Brussels", "MET": "Europe/Brussels",
         "EET": "Europe/Athens", "WET": "Europe/Lisbon"}
DAYS = {"daily": 1, "weekly": 7, "monthly": 30.436875}


@lru_cache(maxsize=None)
def zone_named(name):
    return ZoneInfo(LINKS.get(name, name))


def instant(wall, zone):
    """Of two readings the later: what spring skips moves on by the gap, what
    autumn repeats is the second of both."""
    return max(wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
               for fold in (0, 1))


def wall_of(moment, zone):
    return moment.astimezone(zone).replace(tzinfo=None)


def stepped(wall, interval, k):
    if interval == "monthly":
        return wall + relativedelta(months=k)
    return wall + timedelta(days=k * DAYS[interval])


def next_due(anchor, due, zone, interval, not_before, first=None):
    """The smallest anchor + k intervals (k >= 1) later than due and, if
    given, than not_before; None behind the year 9999. Counted one by one
    from k = first, by default from one that surely is not later."""
    zone = zone_named(zone)
    later_than = max(due, not_before) if not_before else due
    start = wall_of(anchor, zone)

    def moment_of(k):
        try:
            return instant(stepped(start, interval, k), zone)
        except (OverflowError, ValueError):     # out of the calendar
            return None

    k = first or max(1, int((later_than - anchor).days / DAYS[interval]) - 3)
    while k > 1 and first is None:
        before = moment_of(k - 1)
        if before is not None and before <= later_than:
            break
        k = max(1, k - 5)
    while True:
        moment = moment_of(k)
        if moment is None or moment > later_than:
            return moment
        k += 1


@lru_cache(maxsize=None)
def transitions(name):
    """(instant, offset before, offset after) of the zone's changes."""
    zone, found = zone_named(name), []
    at = datetime(1890, 1, 1, tzinfo=UTC)
    before = at.astimezone(zone).utcoffset()
    while at.year < 2040:
        later = at + timedelta(days=30)
        after = later.astimezone(zone).utcoffset()
        if after != before:
            low, high = 0, 2592000
            while high - low > 1:
                middle = (low + high) // 2
                moment = at + timedelta(seconds=middle)
                if moment.astimezone(zone).utcoffset() == before:
                    low = middle
                else:
                    high = middle
            found.append((at + timedelta(seconds=high), before, after))
        at, before = later, after
    return found
