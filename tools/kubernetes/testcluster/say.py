"""What is said to people: progress with times on stderr, and failures that say what to do."""

import sys
import time

BEGAN = time.monotonic()
PROGRAM = sys.argv[0].rsplit("/", 1)[-1]


class Failure(Exception):
    """Something that a person should read: what failed and why, and a hint what to do."""

    def __init__(self, message, hint=None):
        super().__init__(message)
        self.hint = hint


def say(text):
    print(f"{PROGRAM}: {time.monotonic() - BEGAN:6.1f} s  {text}", file=sys.stderr, flush=True)


def say_failure(failure):
    print(f"{PROGRAM}: {failure}", file=sys.stderr)
    if getattr(failure, "hint", None):
        print(f"{PROGRAM}: hint: {failure.hint}", file=sys.stderr)
