"""One task of the engine that the conformance suite brings up. It does what it is told over HTTP, and tells what it got.

The hub keeps what the other tasks say of themselves, how much work each of them has, and who was asked to hand it over.
"""

import ctypes
import json
import os
import signal
import sys
import threading
import time
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def read(variable):
    """The content of the file that a variable names."""
    with open(os.environ[variable]) as file:
        return file.read()


def is_writable(folder):
    path = os.path.join(folder, uuid.uuid4().hex)
    with open(path, "w") as file:
        file.write("x")
    os.remove(path)
    return True


ABOUT = {
    # One for each start of the process.
    "start": uuid.uuid4().hex,
    "environment": {name: value for name, value in os.environ.items() if name.startswith("TOY_")},
    "directory": os.getcwd(),
    "arguments": sys.argv[1:],
}
if "TOY_SECRET_FILE" in os.environ:
    ABOUT["secret"] = read("TOY_SECRET_FILE")
    ABOUT["note"] = read("TOY_NOTE_FILE")
    ABOUT["writable"] = is_writable(os.environ["TOY_WORK"]) and is_writable(os.environ["TOY_SCRATCH"])
TASK = os.environ["TOY_TASK"]
STATE = {"healthy": os.environ.get("TOY_HEALTHY") != "no", "joined": {}, "load": {}, "released": []}


def say(line):
    print(line, flush=True)


def crash(_):
    # The kernel ends a process that reads address 0, also the first one of a container, which other signals do not end.
    threading.Timer(0.05, ctypes.string_at, [0]).start()


def leave(body):
    say(f"last words of {TASK}")
    threading.Timer(0.05, os._exit, [body["code"]]).start()


def join(body):
    STATE["joined"][body["environment"]["TOY_TASK"]] = body


ORDERS = {
    "/healthy": lambda body: STATE.update(healthy=body),
    "/load": lambda body: STATE.update(load=body),
    "/joined": join,
    "/release": lambda body: STATE["released"].append(body["task"]),
    "/say": lambda body: [say(line) for line in body],
    "/exit": leave,
    "/crash": crash,
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/healthy":
            self.answer({}, 200 if STATE["healthy"] else 503)
        elif self.path == "/about":
            self.answer(ABOUT)
        else:
            self.answer(STATE.get(self.path[1:], {}))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        ORDERS[self.path](body)
        self.answer({})

    def answer(self, content, status=200):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def keep_joined(hub):
    """Tells the hub again and again, because the hub may be started anew and forget."""
    request = urllib.request.Request(f"http://{hub}/joined", json.dumps(ABOUT).encode())
    while True:
        try:
            urllib.request.urlopen(request, timeout=5).close()
        except OSError:
            pass
        time.sleep(0.3)


def end(*_):
    say(f"{TASK} is asked to end")
    # In another thread, because a signal may come while a line is being written.
    threading.Timer(float(os.environ.get("TOY_LINGER", 0)), os._exit, [0]).start()


signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
say(f"{TASK} begins")
if "TOY_HUB" in os.environ:
    threading.Thread(target=keep_joined, args=[os.environ["TOY_HUB"]], daemon=True).start()
ThreadingHTTPServer((os.environ["TOY_LISTEN"], int(os.environ["TOY_PORT"])), Handler).serve_forever()
