"""A process that has imported everything and forks for each command, so that many kills need no further imports.

It reads a line of JSON per command: `arguments` and, optionally, `limits`, names of `resource` with their values.
It answers with the child's process ID, and with its wait status once it has ended.
"""

from __future__ import annotations

import json
import os
import resource
import select
import sys


def child(command: dict, pipes: dict[str, tuple[int, int]]) -> int:
    for number, name in ((1, "out"), (2, "err")):
        file = pipes[name][1] if pipes else os.open(command[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
    for name, value in command.get("limits", {}).items():
        resource.setrlimit(getattr(resource, name), (value, value))
    from p3m_lightning.cli import main

    return main(command["arguments"])


def collect(pipes: dict[str, tuple[int, int]]) -> None:
    """Copy the output of pipes to files until all pipes are closed."""
    waiting = {}
    for path, (source, target) in pipes.items():
        os.close(target)
        waiting[source] = path
    while waiting:
        for source in select.select(list(waiting), [], [])[0]:
            content = os.read(source, 65536)
            with open(waiting[source], "ab") as file:
                file.write(content)
            if not content:
                os.close(source)
                del waiting[source]


def serve() -> None:
    import p3m_lightning.cli.predict
    import p3m_lightning.cli.train
    import p3m_lightning.data.datamodule
    import p3m_lightning.gan.run
    import p3m_lightning.inference.folder
    import p3m_lightning.models.p3mnet
    import p3m_lightning.training.run
    import p3m_lightning.training.stages  # noqa: F401

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    print("ready", file=answers)
    for line in sys.stdin:
        command = json.loads(line)
        # a limit of the size of files would cut what a command says too
        pipes = {name: os.pipe() for name in ("out", "err")} if command.get("limits") else {}
        pid = os.fork()
        if pid == 0:
            try:
                code = child(command, pipes)
            except BaseException:
                import traceback

                traceback.print_exc()
                code = 1
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        print(pid, file=answers)
        collect({command[name]: ends for name, ends in pipes.items()})
        print(os.waitpid(pid, 0)[1], file=answers)


if __name__ == "__main__":
    serve()
