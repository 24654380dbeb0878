"""What happened in a run: what was asked for and answered, what Kafka has,
what the database has. One JSON object a line, so that a history can be kept
and judged again.

op      n, do (create patch complete delete read list), user, task, title (of
        a create or patch), completes (the patch completes too), status (None:
        no answer came), answer (the task), version (the one a read wants),
        tries, again (on a new connection, of strict users), error
record  topic, partition, offset, at (when Kafka got it), key, event; in the order of each partition
db      streams {user: {name: last}}, processed [{event_id, user_id,
        position}], tasks [{id, user_id, ...}], series {id: ended}, outbox
        (number of rows), dead_letters [{stage, event_id, user_id, reason}],
        and what reminders.py says
"""
import json


class History:
    def __init__(self):
        self.ops, self.records, self.db = [], [], {}

    def save(self, path):
        with open(path, "w", encoding="utf-8") as out:
            for kind, rows in (("op", self.ops), ("record", self.records),
                               ("db", [self.db])):
                for row in rows:
                    out.write(json.dumps({kind: row}) + "\n")

    @classmethod
    def load(cls, path):
        history = cls()
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                (kind, row), = json.loads(line).items()
                if kind == "op":
                    history.ops.append(row)
                elif kind == "record":
                    history.records.append(row)
                else:
                    history.db = row
        return history
