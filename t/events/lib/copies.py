"""Users with all that belongs to them, as often as wanted: the same tasks,
series, events and history under other ids, so that many orders of delivery
can start from the very same state."""
import json
import re
import uuid

from psql import psql

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TASK_ID = re.compile(r'("(?:task_id|id)": ?|"tasks/)(\d+)')
STAYS = ("outbox", "dead_letters", "idempotency_keys")     # with the originals
IDS = 10**12            # above what the service gives out


def tables():
    """Those of what belongs to users."""
    return [name for name in psql(
        "SELECT table_name FROM information_schema.columns WHERE"
        " table_schema = 'taskevents' AND column_name = 'user_id' ORDER BY 1")
        if name not in STAYS]


def columns_of(name):
    """Those that can be written."""
    return psql("SELECT column_name FROM information_schema.columns WHERE"
                f" table_schema = 'taskevents' AND table_name = '{name}'"
                " AND is_generated = 'NEVER' AND identity_generation IS NULL"
                " ORDER BY ordinal_position")


def mine(users):
    return "user_id IN (" + ",".join(f"'{user}'" for user in users) + ")"


class Copies:
    def __init__(self, users, count):
        self.users, self.count = users, count
        self.origin = {}                # what an id of a copy was made from
        rows = psql(f"SELECT id FROM taskevents.tasks WHERE {mine(users)}")
        self.task_ids = sorted(map(int, rows))
        self.names = re.compile("|".join(map(re.escape, users)))
        for name in tables():
            self.copy(name)

    def user(self, user, n):
        return f"{user}.{n}" if n else user

    def owner(self, user):
        """The original user and which copy it is."""
        name, _, n = user.partition(".")
        return name, int(n or 0)

    def task(self, task, n):
        return task + n * IDS

    def uuid(self, text, n):
        new = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{n} {text}")) if n else text
        self.origin[new] = text
        return new

    def text(self, text, n):
        """Any JSON of the originals, for the n-th copy; the 0th is they
        themselves."""
        text = UUID.sub(lambda m: self.uuid(m[0], n), text)
        text = TASK_ID.sub(lambda m: m[1] + str(self.task(int(m[2]), n)), text)
        return self.names.sub(lambda m: self.user(m[0], n), text)

    def copy(self, name):
        columns = columns_of(name)
        rows = psql(f"SELECT to_jsonb(t) FROM taskevents.{name} t"
                    f" WHERE {mine(self.users)}")
        if name == "processed_events":      # whose text nobody reads here
            rows = [json.dumps({**json.loads(row), "event": "{}"})
                    for row in rows]
        copies = "\n".join(self.text(row, n).replace("\\", "\\\\")
                           for n in range(1, self.count) for row in rows)
        names = ", ".join(columns)
        psql(f"CREATE TEMP TABLE copies (row jsonb);\nCOPY copies FROM STDIN;"
             f"\n{copies}\n\\.\nINSERT INTO taskevents.{name} ({names})"
             f" SELECT {', '.join('r.' + c for c in columns)} FROM copies,"
             f" jsonb_populate_record(NULL::taskevents.{name}, row) AS r;"
             if rows else "")
