"""The style sheet of all pages: light, dark, phone, paper.

Colours are Okabe and Ito's, each in a shade that stands out from its background by 3 to 1; texts do
by 4.5 to 1.
"""

LIGHT = """--paper: #ffffff; --ink: #1b1f24; --soft: #59636e; --line: #d0d7de; --tint: #f5f7f9;
  --link: #0b5cad; --blue: #0072b2; --red: #c95600; --green: #008a64; --pink: #b5578b;
  --yellow: #ad7800; --sky: #2f8fc4; --grey: #757d86; --band: #d3e6f3; --rule: #e6e9ec;"""
DARK = """--paper: #14181d; --ink: #e4e8ec; --soft: #a3adb8; --line: #3a424c; --tint: #1c2229;
  --link: #7cc0ff; --blue: #55aeea; --red: #ff8f4a; --green: #35c79b; --pink: #e09cc4;
  --yellow: #efb53c; --sky: #8ad0fa; --grey: #8b95a0; --band: #22435a; --rule: #2a313a;"""

SHEET = (
    """:root { color-scheme: light dark; """
    + LIGHT
    + """ }
@media (prefers-color-scheme: dark) { :root { """
    + DARK
    + """ } }
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100% }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--ink);
  background: var(--paper); max-width: 70rem; margin: 0 auto; padding: 1.5rem 1rem 3rem;
  overflow-wrap: break-word }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 .5rem; text-wrap: balance }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .6rem; padding-top: .6rem;
  border-top: 1px solid var(--line) }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem }
p, li, dd { max-width: 46rem }
.lead { font-size: 1.12rem; margin: 0 0 1rem }
.result { font-size: 1.2rem; font-weight: 600 }
.missing, figcaption, footer { color: var(--soft) }
a { color: var(--link) }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; padding: 0;
  margin: 1rem 0 }
nav a { display: inline-block; padding: .25rem 0 }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums }
caption { text-align: left; color: var(--soft); padding: .2rem 0 .4rem; font-size: .875rem }
td, th { padding: .35rem 1rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; min-width: 4.5rem; max-width: 28rem }
.n { white-space: nowrap } .wide .text { min-width: 14rem }
thead th { vertical-align: bottom }
tbody th { font-weight: 600 }
.wide, .code { overflow-x: auto; margin: .8rem 0; max-width: 100% }
.wide:focus-visible, .code:focus-visible, a:focus-visible, summary:focus-visible {
  outline: 2px solid var(--link); outline-offset: 2px }
.code, .command { background: var(--tint); border: 1px solid var(--line); border-radius: 6px }
pre { margin: 0; padding: .7rem .9rem; width: max-content; min-width: 100% }
.command { white-space: pre-wrap; overflow-wrap: anywhere; width: auto; margin: .5rem 0 1rem }
code { font: .875em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
figure { margin: 1rem 0; min-width: 0 }
figure .wide { margin: 0 }
figcaption { font-size: .875rem; max-width: 46rem }
svg { display: block; height: auto; stroke-linejoin: round; stroke-linecap: butt;
  font-family: "DejaVu Sans", Verdana, system-ui, sans-serif }
svg text { fill: currentColor }
img { max-width: 100%; height: auto }
.paper { background: #fff; padding: .5rem; border-radius: 6px; display: block }
.wide .paper { min-width: 34rem; max-width: none }
.photo { display: block; width: 100%; image-rendering: pixelated; border-radius: 3px }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr));
  gap: .5rem 1.5rem; align-items: start }
.charts figure { margin: .5rem 0 }
.sheet { display: grid; gap: 0 1.5rem; align-items: end; margin: 0 0 .9rem;
  grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)) }
.sheet figure { margin: .2rem 0 }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: 1rem;
  padding: 0; list-style: none }
.pairs p { font-size: .8rem; margin: .2rem 0; color: var(--soft) }
.facts { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: .25rem 1.2rem;
  margin: .8rem 0 }
.facts dt { color: var(--soft) } .facts dd { margin: 0; overflow-wrap: anywhere }
details { margin: .6rem 0 } summary { cursor: pointer; padding: .25rem 0 }
footer { margin-top: 3rem; border-top: 1px solid var(--line); font-size: .875rem }
@media (max-width: 40rem) {
  h1 { font-size: 1.45rem }
  .facts { grid-template-columns: 1fr; gap: 0 } .facts dd { margin-bottom: .5rem }
}
@media print {
  :root { color-scheme: light; """
    + LIGHT
    + """ }
  @page { margin: 15mm }
  body { font-size: 10.5pt; max-width: none; padding: 0 }
  nav { display: none }
  .wide, .code { overflow: visible }
  .wide table { font-size: 7pt; width: 100% }
  .wide td, .wide th { min-width: 0; padding-right: .35rem; overflow-wrap: normal }
  .screen { display: none } .wide .paper { min-width: 0; max-width: 100% }
  .wide svg { min-width: 0 !important }
  pre { white-space: pre-wrap; width: auto }
  .n { white-space: normal } .wide .text { min-width: 0 }
  details::details-content { content-visibility: visible; block-size: auto }
  h2, h3, caption, summary { break-after: avoid }
  figure, tr, img, .pairs li { break-inside: avoid }
  h2 { margin-top: 1.5rem }
}
"""
)
