"""How the page looks: calm, the machine's own fonts, light and dark, down to 390 pixels."""

from typing import Any

CSS = """
.gradio-container { width: 100%; min-width: 0 !important; max-width: min(76rem, 100%) !important;
  margin: 0 auto !important; overflow: clip !important; }
.dark { --color-accent: var(--primary-400); }
.gradio-container .app, .gradio-container .wrap, .gradio-container main.contain,
.gradio-container .tabs { min-width: 0 !important; max-width: 100%; }
#gallery .grid-wrap { height: auto !important; min-height: 6rem !important; max-height: 40rem; }
#gallery .grid-container { grid-template-columns: repeat(auto-fill, minmax(5.2rem, 1fr)); }
#gallery .caption-label { font-size: .75rem; padding: .1rem .35rem; }
.hq-end { align-items: flex-end !important; }
#streams, #nearest { min-width: min(21rem, 100%) !important; }
#notice .html-container { padding: 0; }
#notice { position: sticky; top: 0; z-index: 20; overflow: visible; }
.hq-head h1 { font-size: 1.5rem; font-weight: 650; margin: .4rem 0 .1rem; }
.hq-head p { margin: .1rem 0; color: var(--body-text-color); }
.hq-notice { padding: .5rem .8rem; border-left: 4px solid #D55E00;
  background: var(--background-fill-secondary);
  color: var(--body-text-color); border-radius: 4px; }
.hq-notice span { font-size: .9rem; }
.hq-row { display: flex; flex-wrap: wrap; gap: .8rem; align-items: flex-start; }
.hq-figure { margin: 0; width: 9.5rem; }
.hq-figure img { width: 100%; height: auto; display: block; border-radius: 6px; }
.hq-figure figcaption { font-size: .85rem; line-height: 1.35; margin-top: .3rem;
  color: var(--body-text-color); }
.hq-walk { gap: .3rem; }
.hq-walk .hq-figure { width: 6.2rem; }
.hq-scroll { overflow-x: auto; max-width: 100%; }
.hq-scroll:focus-visible { outline: 2px solid #0072B2; outline-offset: 2px; }
.hq-drawing { display: block; max-width: none; height: auto; background: #fff; border-radius: 6px;
  padding: .4rem; }
.hq-scroll table { border-collapse: collapse; font-size: .9rem; color: var(--body-text-color); }
.hq-scroll table, .hq-scroll table :is(thead, tbody, tr) { border: 0 !important;
  width: auto; white-space: nowrap; }
.hq-scroll table caption { text-align: left; font-weight: 600; padding: .2rem 0; }
.hq-scroll table th, .hq-scroll table td { border: 0 !important; padding: .25rem .9rem .25rem 0;
  text-align: right; font-variant-numeric: tabular-nums;
  border-bottom: 1px solid var(--border-color-primary) !important; }
.hq-scroll table th:first-child { text-align: left; font-weight: 500; }
.hq-note { color: var(--body-text-color); margin: .4rem 0; }
ul.hq-note { padding-left: 1.2rem; }
ul.hq-note li { margin: .15rem 0; }
.hq-warning { border-left: 3px solid #E69F00; padding-left: .7rem !important; }
ul.hq-warning { padding-left: 1.6rem !important; }
.hq-chart { margin: .6rem 0; max-width: 27rem; color: var(--body-text-color); }
.hq-chart svg text { fill: currentColor; font-size: 12px; }
.hq-key svg { display: inline-block; vertical-align: middle; }
.hq-code { white-space: pre-wrap; padding: .5rem .7rem; border-radius: 4px; font-size: .85rem;
  background: var(--background-fill-secondary); color: var(--body-text-color); }
.hq-key { margin-right: .9rem; white-space: nowrap; }
.hq-progress { width: 100%; height: .8rem; appearance: none; border: 0; border-radius: 4px;
  overflow: hidden; background: var(--border-color-primary); }
.hq-progress::-webkit-progress-bar { background: var(--border-color-primary); }
.hq-progress::-webkit-progress-value { background: #0072B2; border-radius: 4px; }
.hq-progress::-moz-progress-bar { background: #0072B2; }
.hq-grid { max-width: 100%; border-radius: 6px; image-rendering: auto; }
h2.hq-part { font-size: 1.1rem; font-weight: 650; margin: .9rem 0 .2rem;
  color: var(--body-text-color); }
@media (max-width: 640px) { .hq-figure { width: 7.6rem; } .hq-walk .hq-figure { width: 4.9rem; } }
"""


def theme() -> Any:
    """Gradio's plainest theme with the fonts of the machine: nothing is fetched."""
    import gradio as gr
    from gradio.themes.utils.fonts import Font

    calm = gr.themes.Default(
        primary_hue="blue",
        neutral_hue="slate",
        radius_size="sm",
        font=[Font("system-ui"), Font("Segoe UI"), Font("Roboto"), Font("sans-serif")],
        font_mono=[Font("ui-monospace"), Font("Consolas"), Font("monospace")],
    )
    # Contrasts of 4.5 to 1 at least, which the theme itself misses.
    return calm.set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        color_accent="*primary_600",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
    )
