"""The JSON Schemas of the events: made from those of docs/openapi.yaml, so that
a task is the same in an answer and in an event. Each file stands alone."""
import json

import openapi_document as source

FOLDER = source.ROOT / "docs/schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
NAME = "urn:taskevents:schemas/{}.v1.json"
REFERENCE = "#/components/schemas/"
# Said of members when they are asked for, and too strict for who reads events:
# a later version may add members and change wordings.
NOT_FOR_READERS = ("additionalProperties", "examples", "example")

UUID = {"type": "string", "format": "uuid"}
TRACE = {"type": "string",
         "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"}


def schema(name):
    return {"$ref": REFERENCE + name}


def or_null(name):
    return {"oneOf": [schema(name), {"type": "null"}]}


# Type of the event: what it is, its origins, its members beside those of all.
EVENTS = {
    "task.created": (
        "A task was made, by a user or as the next one of a series.",
        ["user", "recurrence"], {"task": schema("Task")}),
    "task.updated": (
        "Fields of a task were changed, or it was reopened.",
        ["user"], {"task": schema("Task"), "changes": {
            "description": "The old and the new value of each field that "
            "changed, except version and updated_at.",
            "type": "object", "minProperties": 1,
            "propertyNames": {"not": {"enum": ["version", "updated_at"]}},
            "additionalProperties": {
                "type": "object", "required": ["old", "new"],
                "properties": {"old": True, "new": True}}}}),
    "task.completed": (
        "A task went from open to complete.",
        ["user"], {"task": {"allOf": [schema("Task"), {
            "properties": {"completed": {"const": True}}}]}}),
    "task.deleted": (
        "A task was deleted.",
        ["user"], {"title": schema("Title"),
                   "series_id": {"type": ["string", "null"],
                                 "format": "uuid"},
                   "occurrence": {"type": ["integer", "null"],
                                  "minimum": 1}}),
    "reminder.scheduled": (
        "A task has a reminder, or another one.",
        ["reminder"], {"reminder_id": UUID, "due_date": schema("Time"),
                       "remind_at": schema("Time")}),
    "reminder.cancelled": (
        "A reminder will not come, or what it told is no longer so.",
        ["reminder"], {"reminder_id": UUID, "reason": {
            "enum": ["completed", "deleted", "due_date_moved",
                     "due_date_cleared"]}}),
    "reminder.triggered": (
        "The time of a reminder has come.",
        ["reminder"], {"reminder_id": UUID, "due_date": schema("Time"),
                       "title": schema("Title")}),
}


def data_of(event):
    about, origins, members = EVENTS[event]
    properties = {
        "user_id": schema("UserId"),
        "task_id": schema("TaskId"),
        "timestamp": schema("Time"),
        "origin": {"enum": origins},
        **members}
    return {"$schema": DIALECT, "$id": NAME.format(event),
            "title": f"data of {event}", "description": about,
            "type": "object", "required": list(properties),
            "properties": properties}


def envelope():
    properties = {
        "specversion": {"const": "1.0"},
        "id": UUID,
        "source": {"type": "string", "format": "uri-reference",
                   "minLength": 1},
        "type": {"type": "string", "minLength": 1},
        "subject": {"type": "string", "pattern": "^tasks/[1-9][0-9]*$"},
        "time": schema("Time"),
        "datacontenttype": {"const": "application/json"},
        "partitionkey": schema("UserId"),
        "sequence": {"type": "string", "pattern": "^[0-9]{20}$"},
        "correlationid": UUID,
        "causationid": UUID,
        "traceparent": TRACE,
        "traceid": TRACE,
        "dataschema": {"type": "string", "format": "uri-reference"},
        "data": {"type": "object"}}
    return {"$schema": DIALECT, "$id": NAME.format("event"),
            "title": "event",
            "description": "The CloudEvents 1.0 envelope that all events "
            "have; dataschema names the schema of its data.",
            "type": "object",
            "required": [name for name in properties
                         if name != "causationid"],
            "properties": properties}


def standing_alone(value, components, found):
    """VALUE with its references to FOUND, which becomes $defs."""
    if isinstance(value, list):
        return [standing_alone(v, components, found) for v in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        name = value["$ref"].removeprefix(REFERENCE)
        if name not in found:
            found[name] = None  # its place, also for one that names itself
            found[name] = standing_alone(components[name], components, found)
        return {**value, "$ref": f"#/$defs/{name}"}
    return {key: standing_alone(v, components, found)
            for key, v in value.items() if key not in NOT_FOR_READERS
            or isinstance(v, dict) and key == "additionalProperties"}


def files():
    """{path: text} of all of them."""
    components = source.load()["components"]["schemas"]
    made = {}
    for name in ("event", *EVENTS):
        found = {}
        whole = standing_alone(envelope() if name == "event" else
                               data_of(name), components, found)
        if found:
            whole["$defs"] = found
        made[FOLDER / f"{name}.v1.json"] = json.dumps(
            whole, indent=2, ensure_ascii=True) + "\n"
    return made
