"""The page: head, notice, two tabs. Layout only."""

from typing import Any

from hqgan.app import generate_tab, showing, training_tab
from hqgan.app.model import Model
from hqgan.app.sessions import Sessions
from hqgan.app.settings import Settings
from hqgan.app.training_jobs import Trainings


def build(settings: Settings, model: Model, sessions: Sessions, trainings: Trainings) -> Any:
    """The page as Gradio's Blocks, not yet open to anybody."""
    import gradio as gr

    with gr.Blocks(title="hqgan", analytics_enabled=False) as blocks:
        head = gr.HTML(showing.head_html(model))
        notice = gr.HTML(showing.notice_html(model), elem_id="notice")
        with gr.Tabs() as tabs:
            with gr.Tab("Generate", id=training_tab.TAB):
                shown = generate_tab.build(blocks, sessions, model, head, notice)
            with gr.Tab("Your images", id="own"):
                training_tab.build(sessions, trainings, settings, tabs, shown)

        def on_unload(request: gr.Request) -> None:
            sessions.leave(request.session_hash)

        blocks.unload(on_unload)
    return blocks
