"""The database of the tests, by the program that everybody has."""
import os
import subprocess


def psql(text):
    """The lines that the statements answer."""
    done = subprocess.run(
        ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1",
         "-d", os.environ["TASKEVENTS_TEST_DSN"]], input=text,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        check=False, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"psql: {done.stderr[-2000:]}")
    return done.stdout.splitlines()
