"""What a JSON schema cannot tell, told to schemathesis.

A test that schemathesis means to be valid is made so where a rule is about
more than one value: the owner of a path, tags that differ in more than case, a
key that was not used before. A test that is meant to be broken is left alone.
"""
import datetime
import os
import re
import unicodedata
import uuid
import zlib

import hypothesis.strategies as st
import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

OWNER = os.environ["TASKEVENTS_OWNER"]
CURSORS = dict(pair.split("=", 1)
               for pair in os.environ["TASKEVENTS_CURSORS"].split())
USER_ID = re.compile(r"[A-Za-z0-9._@:+|=~-]{1,128}")
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kolkata",
         "Australia/Lord_Howe", "Etc/GMT+12")

schemathesis.openapi.format("iana-time-zone", st.sampled_from(ZONES))


def is_positive(case, location):
    component = case.meta.components.get(location)
    return component is None or component.mode.is_positive


def sometimes(value, one_in):
    """By the value, so that a test is the same when it is run again."""
    return zlib.crc32(repr(value).encode()) % one_in == 0


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None:
        return
    set_user(case)
    if is_positive(case, ParameterLocation.QUERY):
        set_cursor(case)
        set_days(case.query)
    if is_positive(case, ParameterLocation.HEADER):
        set_headers(case)
    if (isinstance(case.body, dict)
            and is_positive(case, ParameterLocation.BODY)):
        set_body(case.body)


def set_user(case):
    """The owner; now and then somebody else, which is 403."""
    user = case.path_parameters.get("user_id")
    if not isinstance(user, str) or not USER_ID.fullmatch(user):
        return
    if user in ("events", ".", ".."):
        return
    if case.meta.phase.name == TestPhase.FUZZING and sometimes(user, 8):
        return
    case.path_parameters["user_id"] = OWNER


def set_cursor(case):
    """A cursor is what a Link of the same order gave, and nothing else."""
    query = case.query
    if "after" in query and case.path.endswith("/notifications"):
        query["after"] = "bm90aWZpY2F0aW9uOjQy"     # notification:42
    elif "after" in query and case.operation.path == "/{user_id}/tasks":
        query["after"] = CURSORS[query.get("sort_by", "created_desc")]
    for name in ("due_before", "due_after"):
        if name in query:
            query[name] = in_range(query[name])


def set_days(query):
    """At most 366 of them, in order; the last one is today if not told."""
    if "from" in query:
        day = query.get("to") or datetime.datetime.now(
            datetime.UTC).date().isoformat()
        query["from"] = day if day[:4] != "0000" else "2026-01-31"
    if query.get("to", "")[:4] == "0000":
        query["to"] = query.get("from", "2026-01-31")


def set_headers(case):
    """A key with another body than before is 422, a version made up 412."""
    if "Idempotency-Key" in case.headers:
        key = case.headers["Idempotency-Key"]
        case.headers["Idempotency-Key"] = f"{key[:200]}-{uuid.uuid4()}"
    if "If-Match" in case.headers and sometimes(case.headers["If-Match"], 2):
        case.headers["If-Match"] = "*"


def set_body(body):
    if body.get("tags"):
        body["tags"] = differing(body["tags"])
    if body.get("due_date"):
        body["due_date"] = in_range(body["due_date"])
    # Half of this pair is right for some tasks and wrong for others.
    if "recurring_interval" in body:
        body["is_recurring"] = body["recurring_interval"] is not None
    elif body.get("is_recurring"):
        body["recurring_interval"] = "daily"


def differing(tags):
    """No two that are one tag but for case, blanks or composition."""
    kept = {}
    for tag in tags:
        alike = unicodedata.normalize("NFKC", tag).casefold().strip()
        kept.setdefault(unicodedata.normalize("NFKC", alike), tag)
    return list(kept.values())


def in_range(time):
    """Only in UTC is it told whether a time is of the years 0001 to 9999."""
    return "2026" + time[4:] if time[:4] in ("0000", "0001", "9999") else time
