"""A process that has imported everything, and forks for each command: kills by the dozen without waiting for imports.

Reads a line of JSON for each command: `arguments`, and optionally `limits`, names of `resource` with their values.
Answers with the child's process number, and with its wait status once it has ended.
"""

from __future__ import annotations

import json
import os
import resource
import sys


def child(command: dict) -> int:
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(command[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    for name, value in command.get("limits", {}).items():
        resource.setrlimit(getattr(resource, name), (value, value))
    from p3m_lightning.cli import main

    return main(command["arguments"])


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
        pid = os.fork()
        if pid == 0:
            try:
                code = child(json.loads(line))
            except BaseException:
                import traceback

                traceback.print_exc()
                code = 1
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        print(pid, file=answers)
        print(os.waitpid(pid, 0)[1], file=answers)


if __name__ == "__main__":
    serve()
