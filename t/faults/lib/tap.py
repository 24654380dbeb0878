"""What prove reads."""
import sys

_count = 0
_failed = 0


def ok(good, name, why=None):
    global _count, _failed
    _count += 1
    print(f"{'ok' if good else 'not ok'} {_count} - {name}", flush=True)
    if not good:
        _failed += 1
        if why is not None:
            note(why)
    return bool(good)


def equal(got, wanted, name):
    return ok(got == wanted, name, f"got {got!r}, wanted {wanted!r}")


def note(text):
    for line in str(text).split("\n"):
        print(f"# {line}", file=sys.stderr, flush=True)


def done():
    print(f"1..{_count}", flush=True)
    sys.exit(1 if _failed else 0)
