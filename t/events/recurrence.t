#!/usr/bin/env python3
"""Due dates of PostgreSQL's arithmetic against those of dateutil and zoneinfo,
which read the same zone files.

    TASKEVENTS_RECURRENCE_SEED   the same cases again
    TASKEVENTS_RECURRENCE_CASES  how many (100000)
"""
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from datetime import datetime, timedelta

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "lib"), os.path.join(HERE, "../faults/lib")]
import tap
from oracle import (UTC, instant, next_due, stepped, transitions, wall_of,
                    zone_named)
from psql import psql

CASES = int(os.environ.get("TASKEVENTS_RECURRENCE_CASES") or 100000)
SEED = os.environ.get("TASKEVENTS_RECURRENCE_SEED") or \
    str(random.SystemRandom().randrange(1 << 32))
CHUNK = 2000
# Days that were skipped or came twice, half-hour summer time, winter time that
# is the exception, offsets in seconds, many changes of mind.
ODD = ["Pacific/Apia", "Pacific/Fakaofo", "Pacific/Kwajalein",
       "Pacific/Kiritimati", "Asia/Manila", "America/Sitka", "America/Juneau",
       "Australia/Lord_Howe", "Antarctica/Troll", "Europe/Dublin",
       "Africa/Casablanca", "Africa/Monrovia", "Europe/Amsterdam",
       "Asia/Pyongyang", "America/Caracas", "Asia/Kathmandu", "Asia/Gaza",
       "Antarctica/Casey", "America/Nuuk", "Africa/Cairo", "Asia/Tehran",
       "Pacific/Guam", "America/St_Johns", "Europe/Berlin",
       "America/New_York", "America/Sao_Paulo", "Pacific/Chatham", "CET",
       "EET"]
FIRST, LAST = datetime(1, 3, 1, tzinfo=UTC), datetime(9998, 6, 1, tzinfo=UTC)


def moment_between(rng, first, last):
    seconds = rng.randrange(int((last - first).total_seconds()))
    return first + timedelta(
        seconds=seconds - seconds % rng.choice((1, 60, 900, 3600)),
        microseconds=rng.choice((0, 0, 0, 1, 999999, rng.randrange(10**6))))


def an_anchor(rng, zone):
    """Any time; an ordinary one; the end of a month, 29 February too."""
    kind = rng.random()
    if kind < 0.2:
        return moment_between(rng, FIRST, LAST)
    anchor = moment_between(rng, datetime(1900, 1, 1, tzinfo=UTC),
                            datetime(2100, 1, 1, tzinfo=UTC))
    if kind < 0.6:
        wall = wall_of(anchor, zone_named(zone)).replace(day=1, month=rng.choice(
            (1, 2, 3, 5, 12)))
        wall = stepped(wall, "monthly", 1) - timedelta(days=rng.randint(1, 4))
        anchor = instant(wall, zone_named(zone))
    return anchor


def at_a_transition(rng, zone, interval):
    """Anchor and due so that an occurrence falls into or beside a change of
    the zone's clocks."""
    change, before, after = rng.choice(transitions(zone))
    span = abs((after - before).total_seconds())
    wall = (change + before).replace(tzinfo=None) + timedelta(
        seconds=rng.randint(-7200 - int(span), 7200 + int(span)))
    k = rng.choice((1, 2, rng.randint(1, 400)))
    zone = zone_named(zone)
    anchor = instant(stepped(wall, interval, -k), zone)
    due = instant(stepped(wall, interval, -rng.choice((0, 1, 1, 2))), zone)
    return anchor, due + timedelta(
        seconds=rng.choice((0, 0, -1, 1, rng.randint(-90000, 90000))))


def a_due(rng, anchor, zone, interval):
    """An occurrence, beside one, near, far, before the anchor."""
    kind = rng.random()
    if kind < 0.5:
        try:
            due = instant(stepped(wall_of(anchor, zone_named(zone)), interval,
                                  rng.choice((0, 0, 1, rng.randint(0, 300)))),
                          zone_named(zone))
            due += timedelta(microseconds=rng.choice((0, 0, -1, 1)))
        except (OverflowError, ValueError):
            due = anchor
        return min(due, LAST)
    if kind < 0.8:
        return min(anchor + timedelta(minutes=rng.randint(-900000, 900000)),
                   LAST) if anchor.year > 3 else anchor
    return moment_between(rng, FIRST, LAST)


def a_case(rng, zones):
    zone = rng.choice(ODD if rng.random() < 0.5 else zones)
    interval = rng.choice(("daily", "weekly", "monthly"))
    if rng.random() < 0.4 and transitions(zone):
        anchor, due = at_a_transition(rng, zone, interval)
    else:
        anchor = an_anchor(rng, zone)
        due = a_due(rng, anchor, zone, interval)
    not_before = None
    if rng.random() < 0.4:
        not_before = a_due(rng, due, zone, interval)
    return anchor, due, zone, interval, not_before


def chunk(number, zones):
    rng = random.Random(f"{SEED} {number}")
    cases = [a_case(rng, zones) for _ in range(min(
        CHUNK, CASES - number * CHUNK))]
    judged = [(case, next_due(*case)) for case in cases]
    for case, due in judged[::20]:      # as the rule says, from the first
        if (case[1] - case[0]).days < 2000 and not case[4]:
            assert next_due(*case, first=1) == due, case
    return judged


def text(moment):
    return moment.isoformat() if moment else r"\N"


def answers(cases):
    """What the database says: microseconds since 1970, None for NULL."""
    rows = "".join(f"{n}\t" + "\t".join(
        (text(anchor), text(due), zone, interval, text(not_before))) + "\n"
        for n, (anchor, due, zone, interval, not_before) in enumerate(cases))
    told = psql("""
        CREATE TEMP TABLE cases (n int, anchor timestamptz, due timestamptz,
            zone text, step text, not_before timestamptz);
        COPY cases FROM STDIN;
        """.strip() + "\n" + rows + r"""\.
        SELECT coalesce(extract(epoch FROM taskevents.next_due(
            anchor, due, zone, step, not_before)) * 1000000, 'NaN')::text
          FROM cases ORDER BY n;""")
    return [None if line == "NaN" else int(float(line)) if "e" in line
            else int(line.split(".")[0]) for line in told]


def microseconds(moment):
    if moment is None:
        return None
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * 10**6 + since.microseconds


def describe(case, wanted, got):
    anchor, due, zone, interval, not_before = case
    got = got if got is None else \
        datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=got)
    return (f"next_due('{anchor}', '{due}', '{zone}', '{interval}', "
            f"'{not_before}') is {got}, not {wanted}")


def compare():
    zones = psql("""SELECT name FROM pg_timezone_names
        WHERE name NOT LIKE 'posix/%' AND name NOT LIKE 'right/%'
        AND name NOT IN ('localtime', 'posixrules', 'Factory')
        ORDER BY name""")
    tap.ok(len(zones) > 400, f"{len(zones)} zones")
    with multiprocessing.get_context("fork").Pool() as pool:
        judged = [one for part in pool.starmap(chunk, (
            (n, zones) for n in range((CASES + CHUNK - 1) // CHUNK)))
            for one in part]
    told = answers([case for case, _ in judged])
    tap.equal(len(told), CASES, f"{CASES} cases of "
              f"{len({case[2] for case, _ in judged})} zones")
    wrong = [describe(case, wanted, got)
             for (case, wanted), got in zip(judged, told)
             if microseconds(wanted) != got]
    kinds = Counter(case[3] for case, _ in judged)
    moved = sum(1 for (anchor, _, zone, _, _), due in judged if due and
                anchor.astimezone(zone_named(zone)).utcoffset()
                != due.astimezone(zone_named(zone)).utcoffset())
    tap.note(f"{dict(kinds)}, {moved} with another offset than the anchor's")
    tap.ok(moved > CASES / 10, "many of them over a change of the clocks")
    tap.ok(not wrong, "PostgreSQL and dateutil agree on every one",
           f"{len(wrong)} differ:\n" + "\n".join(wrong[:10]))


def ends_with_the_calendar():
    eve = datetime(9999, 12, 31, 9, tzinfo=UTC)
    for interval in ("daily", "weekly", "monthly"):
        tap.equal(answers([(eve, eve, "UTC", interval, None)]), [None],
                  f"{interval}: nothing is due behind the year 9999")


def seconds_for(due, rounds=5):
    """Of 2,000 calls, the best of some rounds."""
    best = 99
    for _ in range(rounds):
        began = time.monotonic()
        psql(f"""SELECT count(taskevents.next_due('2001-01-31 09:00+00',
            '{due}'::timestamptz + n * interval '1 hour', 'Europe/Berlin',
            'daily', NULL)) FROM generate_series(1, 2000) AS n""")
        best = min(best, time.monotonic() - began)
    return best


def takes_no_longer():
    """A step for each interval would make the far ones take a million times
    as long."""
    near, far = seconds_for("2001-02-01"), seconds_for("9900-01-01")
    tap.ok(far < 5 * near, "the far future costs what tomorrow costs",
           f"{far:.3f} s, not {near:.3f} s")


tap.note(f"TASKEVENTS_RECURRENCE_SEED={SEED}")
compare()
ends_with_the_calendar()
takes_no_longer()
tap.done()
