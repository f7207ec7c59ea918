"""What users do with a client besides computing: an uploaded file, the task stream, and a restart.

Argument: the scheduler's address.
"""

import os
import sys
import tempfile

from distributed import Client, get_task_stream

with Client(sys.argv[1]) as client:
    info = client.scheduler_info(n_workers=-1)["workers"]
    print("nannies", [worker["nanny"] for worker in info.values()])

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "uploaded_by_test.py")
        with open(path, "w") as file:
            file.write("def answer():\n    return 42\n")
        client.upload_file(path)

    def ask():
        import uploaded_by_test

        return uploaded_by_test.answer()

    with get_task_stream(client) as stream:
        print("uploaded", client.submit(ask, pure=False).result())
    print("stream", len(stream.data) > 0)

    before = {worker["pid"] for worker in client.run(lambda: {"pid": os.getpid()}).values()}
    # Raises when the workers are not back in time.
    client.restart(timeout=60)
    after = {worker["pid"] for worker in client.run(lambda: {"pid": os.getpid()}).values()}
    print("restarted", len(before) == len(after) and not before & after)
    print("sum", client.submit(sum, range(10)).result())
