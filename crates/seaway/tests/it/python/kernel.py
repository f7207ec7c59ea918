"""Starts a kernel over the HTTP API of a notebook server, runs code in it over its WebSocket, and prints what the
code printed.

Arguments: the server's URL, the token, the code, and `keep` to leave the kernel running.
"""

import json
import sys
import uuid

import requests
import websocket

url, token, code, *keep = sys.argv[1:]
headers = {"Authorization": f"token {token}"}
answer = requests.post(f"{url}/api/kernels", headers=headers, json={"name": "python3"}, timeout=60)
answer.raise_for_status()
kernel = answer.json()["id"]
session = uuid.uuid4().hex
socket = websocket.create_connection(
    f"{url.replace('http', 'ws', 1)}/api/kernels/{kernel}/channels?session_id={session}",
    header=[f"Authorization: token {token}"],
    timeout=120,
)
message = uuid.uuid4().hex
socket.send(
    json.dumps(
        {
            "channel": "shell",
            "header": {
                "msg_id": message,
                "msg_type": "execute_request",
                "username": "",
                "session": session,
                "version": "5.3",
                "date": "",
            },
            "parent_header": {},
            "metadata": {},
            "content": {"code": code, "silent": False, "store_history": False, "allow_stdin": False},
            "buffers": [],
        }
    )
)
status, idle = None, False
while status is None or not idle:
    got = json.loads(socket.recv())
    if got["parent_header"].get("msg_id") != message:
        continue
    content = got["content"]
    match got["msg_type"]:
        case "stream":
            sys.stdout.write(content["text"])
        case "error":
            sys.stderr.write("\n".join(content["traceback"]))
        case "execute_reply":
            status = content["status"]
        case "status":
            idle = content["execution_state"] == "idle"
socket.close()
if not keep:
    requests.delete(f"{url}/api/kernels/{kernel}", headers=headers, timeout=60).raise_for_status()
sys.exit(0 if status == "ok" else 1)
