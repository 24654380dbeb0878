#!/usr/bin/env python3
"""judge.py FILE: what the checker says of a history that a run has left."""
import sys

sys.dont_write_bytecode = True
from checker import Checker
from history import History

if len(sys.argv) != 2:
    sys.exit(__doc__)
checker = Checker(History.load(sys.argv[1]), disturbed=True)
for finding in checker.check():
    print(finding)
print(checker.summary())
sys.exit(1 if checker.findings else 0)
