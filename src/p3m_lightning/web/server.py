"""Serving the page on this machine only, without contacting any other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from p3m_lightning.images import write_image
from p3m_lightning.inference import Predictor
from p3m_lightning.schema import InputError
from p3m_lightning.silence import SWITCHES
from p3m_lightning.synthetic import render_portrait
from p3m_lightning.web.guard import Guard
from p3m_lightning.web.page import build_page
from p3m_lightning.web.session import Limits, Session

HOST = "127.0.0.1"
WAITING = 50  # clicks, after which more are refused
EXAMPLES = (9001, 9004, 9010)
"""Seeds of the rendered portraits that the page offers."""


@contextmanager
def serve(
    predictors: Mapping[str, Predictor],
    port: int | None = None,
    limits: Limits | None = None,
) -> Iterator[str]:
    """Serve the page while the context is open; uploads and results are deleted at its end.

    Args:
        predictors: one or two by name, see `Session`.
        port: None for the first free one from 7860.
        limits: of uploads.

    Yields:
        The address.

    Raises:
        InputError: Gradio is not installed, the port is taken, or as `Session`.
    """
    limits = limits or Limits()
    with TemporaryDirectory(prefix="p3m-demo-") as folder, _settings(folder):
        try:
            import gradio
            from starlette.middleware import Middleware
        except ModuleNotFoundError:
            raise InputError("p3m demo needs Gradio: pip install 'p3m_lightning[demo]'") from None
        session = Session(predictors, Path(folder), limits)
        page = build_page(session, render_examples(Path(folder) / "examples"))
        # what has a model is described by it, as files are; the rest are plain values
        arguments = {
            number: [getattr(part, "data_model", None) is not None for part in function.inputs]
            for number, function in page.fns.items()
        }
        try:
            _, address, _ = page.queue(default_concurrency_limit=1, max_size=WAITING, api_open=False).launch(
                server_name=HOST,
                server_port=port,
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                show_error=True,
                footer_links=[],
                max_file_size=int(limits.megabytes * 1e6),
                ssr_mode=False,
                theme=gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
                app_kwargs={"middleware": [Middleware(Guard, folder=Path(folder), limits=limits, arguments=arguments)]},
            )
        except OSError:
            raise InputError(f"--port {port or '7860 to 7959'}: taken by another program; choose another") from None
        try:
            yield address
        finally:
            page.close(verbose=False)


def render_examples(folder: Path) -> list[Path]:
    """Render the example portraits, JPEG."""
    paths = [folder / f"portrait_{seed}.jpg" for seed in EXAMPLES]
    for seed, path in zip(EXAMPLES, paths, strict=True):
        write_image(path, render_portrait(seed, 512).image, quality=92)
    return paths


@contextmanager
def _settings(folder: str) -> Iterator[None]:
    """Configure Gradio by its environment: the folder for files, no telemetry, and no proxy between it and itself."""
    wanted = {"GRADIO_TEMP_DIR": folder, "HF_HUB_OFFLINE": "1", **SWITCHES["gradio"], **SWITCHES["huggingface_hub"]}
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    if direct != "*":  # every host
        wanted |= dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(filter(None, (direct, HOST))))
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
