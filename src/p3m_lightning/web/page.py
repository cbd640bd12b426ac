"""The page itself: its layout, and the functions that clicks call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p3m_lightning.schema import InputError
from p3m_lightning.web.session import BEHIND, Request, Session

if TYPE_CHECKING:
    import gradio

TITLE = "Portrait matting"
KEEP = (600, 3600)
"""Every ten minutes, images older than an hour are deleted."""

BUTTONS = ["download", "fullscreen"]  # no sharing


def build_page(session: Session, examples: Sequence[Path]) -> gradio.Blocks:
    """Build the page.

    Args:
        session: does the work.
        examples: example photographs in the session's folder.
    """
    import gradio

    with gradio.Blocks(title=TITLE, analytics_enabled=False, delete_cache=KEEP) as page:
        gradio.Markdown(f"# {TITLE}\nPictures stay on this machine and are deleted when the program ends.")
        with gradio.Row():
            with gradio.Column():
                photograph = _picture("Photograph", "photograph", sources=["upload", "webcam", "clipboard"])
                gradio.Examples([str(path) for path in examples], photograph, label="Examples (rendered)")
                behind = gradio.Radio(list(BEHIND), value="color", label="New background", elem_id="behind")
                color = gradio.ColorPicker("#ffffff", label="Color", elem_id="color")
                picture = _picture("Background picture", "picture", sources=["upload", "clipboard"], visible=False)
                light = gradio.Slider(0, 1, 0, step=0.1, label="Match the light of the background", elem_id="light")
                start = gradio.Button("Cut out", variant="primary", elem_id="start")
            with gradio.Column():
                cutout = _picture("Cut-out", "cutout", interactive=False, buttons=BUTTONS)
                matte = _picture("Matte", "matte", interactive=False, buttons=BUTTONS)
                composite = _picture("On the new background", "composite", interactive=False, buttons=BUTTONS)
                download = gradio.DownloadButton("Download the cut-out", elem_id="download", interactive=False)
        compared = len(session.names) == 2
        outputs = [cutout, matte, composite, download]
        if compared:
            left, right = session.names
            label = f"Mattes: {left} (left), {right} (right)"
            outputs.append(gradio.ImageSlider(label=label, elem_id="compare", type="filepath", interactive=False))

        def make(photograph: object, behind: object, color: object, picture: object, light: object) -> list[object]:
            try:
                result = session.fulfill(Request(_path_of(photograph), behind, color, _path_of(picture), light))
            except (InputError, MemoryError) as error:
                raise gradio.Error(str(error) or "not enough memory", print_exception=False) from None
            button = gradio.DownloadButton(value=str(result.cutout), interactive=True)
            shown: list[object] = [str(result.cutout), str(result.matte), str(result.composite), button]
            return [*shown, (str(result.matte), str(result.other))] if compared else shown

        # the session opens the files itself: Gradio would decode them before their size is known
        start.click(
            make, [photograph, behind, color, picture, light], outputs, preprocess=False, api_visibility="private"
        )
        behind.change(
            lambda choice: (gradio.update(visible=choice == "color"), gradio.update(visible=choice == "picture")),
            behind,
            [color, picture],
            preprocess=False,  # avoids tracebacks for invalid choices
        )
    return page


def _picture(label: str, name: str, **keys: Any) -> gradio.Image:
    import gradio

    return gradio.Image(label=label, elem_id=name, type="filepath", image_mode=None, format="png", height=360, **keys)


def _path_of(upload: object) -> object:
    """Return the path of an upload as Gradio describes it; return anything else unchanged."""
    if upload is None:
        return None
    return upload.get("path") if isinstance(upload, dict) else b""
