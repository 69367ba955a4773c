"""A page that shows what an export sees: `python -m saved_models.serving.page NAME/VERSION`.

It is served to this machine only; images do not leave it, and the page loads nothing from outside.
"""

import argparse
import importlib.util
import os
import signal
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from saved_models.serving.page import content as page
from saved_models.serving.page.explanation import Network, Refused

if TYPE_CHECKING:
    import gradio as gr

HERE = Path(__file__).parent
HOST = "127.0.0.1"
LARGEST = "32mb"  # of a file
KEPT = 600  # seconds that gradio keeps an upload
WORDS = {
    "upload_text.drop_file": "Drop or paste an image, or",
    "upload_text.click_to_upload": "press to choose one",
}


def build(network: Network) -> "gr.Blocks":
    """Returns the page."""
    import gradio as gr

    def look(image: bytes | None) -> tuple[None, str, str]:
        if image is None:
            return None, "", ""
        try:
            found = network.explain(image)
        except Refused as refused:
            return None, page.refusal(str(refused)), ""
        return None, page.headline(found), page.answer(found)

    title = f"What {network.about['network']} sees"
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(KEPT, KEPT)) as blocks:
        gr.HTML(page.facts(network.about), elem_id="facts")
        image = gr.File(label="Image", show_label=False, type="binary", elem_id="image", height=72)
        told = gr.HTML(elem_id="told")
        answer = gr.HTML(elem_id="answer", js_on_load=(HERE / "page.js").read_text("utf-8"))
        # Emptied first, in the browser: screen readers announce only text that changes.
        upload = image.upload(None, None, told, js="() => ''", api_visibility="private")
        upload.then(
            look,
            image,
            [image, told, answer],
            api_visibility="private",
            show_progress="hidden",
        )
    return blocks


def launch(blocks: "gr.Blocks", port: int | None) -> str:
    """Serves the page in another thread; returns its URL.

    Args:
        blocks: the page.
        port: None for the first free one from 7860 on.
    """
    import gradio as gr

    _, url, _ = blocks.launch(
        server_name=HOST,
        server_port=port,
        share=False,
        prevent_thread_lock=True,
        quiet=True,
        ssr_mode=False,
        max_file_size=LARGEST,
        footer_links=[],
        i18n=gr.I18n(en=WORDS),
        # Not as `css`, which gradio would rewrite, and split at each comma.
        head=f"<style>{(HERE / 'page.css').read_text('utf-8')}</style>",
    )
    return url


def check(port: int | None) -> None:
    """Raises ValueError for problems that would only appear after seconds of loading."""
    if importlib.util.find_spec("gradio") is None:
        raise ValueError("the page needs: pip install 'he-keras-resnet[demo]'")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port or 0))
        except OSError as error:
            raise ValueError(f"--port={port} cannot be used: {error.strerror}") from error


def main(arguments: list[str] | None = None) -> int:
    """Serves the page until Ctrl-C or SIGTERM; returns the exit code."""
    parser = argparse.ArgumentParser(prog="saved_models.serving.page", description=__doc__)
    parser.add_argument("directory", type=Path, help="an export, such as saved_models/digits/1")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860 on")
    chosen = parser.parse_args(arguments)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with tempfile.TemporaryDirectory() as uploads:
        os.environ |= {
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_TEMP_DIR": uploads,
            "NO_PROXY": HOST,
            "no_proxy": HOST,
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }
        try:
            check(chosen.port)
            blocks = build(Network(chosen.directory))
            url = launch(blocks, chosen.port)
        except (ImportError, OSError, ValueError, OverflowError) as error:
            sys.exit(f"error: {error}")
        print(f"{url} shows the page; Ctrl-C ends it", flush=True)
        ended.wait()
        blocks.close()
    return 0
