"""The look of the pages that pinxit writes: each is one file that loads nothing and runs no script."""

import base64
import shlex
from html import escape

from pinxit.errors import printable

HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""

HOUSE = """
:root {
  --paper: #faf8f4; --mat: #fff; --ink: #24211d; --soft: #6b665e; --rule: #ddd7cc;
  --line-0: #2b6592; --line-1: #bf4a2c; --line-2: #5c7f3b; --line-3: #80609f;
  --serif: ui-serif, "Iowan Old Style", Palatino, Georgia, serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #171512; --mat: #211f1b; --ink: #ebe6dd; --soft: #a39c90; --rule: #3a362f;
    --line-0: #82b6dd; --line-1: #ee8a67; --line-2: #a3c37d; --line-3: #c0a3dc;
  }
}
"""
"""Colours and the serif of the reports and of the studio."""

CSS = (
    HOUSE
    + """
* { box-sizing: border-box; margin: 0; }
body {
  max-width: 64rem; margin: auto; padding: clamp(1.25rem, 4vw, 3.5rem);
  background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
h1 { font: 500 clamp(1.35rem, 3.6vw, 2.1rem)/1.25 var(--serif); margin: .4em 0 .5em; text-wrap: balance; }
h2 { font: 500 1.4rem/1.3 var(--serif); margin: 3.5rem 0 1rem; padding-top: .9rem; border-top: 1px solid var(--rule); }
p { text-wrap: pretty; }
h3 { font-size: 1rem; font-weight: 600; }
header p, figcaption, small, summary { color: var(--soft); font-size: .875rem; }
.sign { color: var(--line-1); letter-spacing: .04em; }
small { display: block; font-weight: 400; }
img { display: block; max-width: 100%; height: auto; image-rendering: pixelated; }
.sheet { display: flex; justify-content: center; margin-top: 2.5rem; }
.sheet img {
  --margin: clamp(.6rem, 3vw, 2rem);
  box-sizing: content-box; max-width: calc(100% - 2 * var(--margin) - 2px);
  padding: var(--margin); background: var(--mat); border: 1px solid var(--rule);
}
.sheet figcaption { margin-top: .6rem; text-align: center; font-family: var(--serif); font-style: italic; }
.words { padding: 0; list-style: none; margin-bottom: 1.25rem; }
.wide { overflow-x: auto; overflow-wrap: normal; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 400; }
td, th { padding: .35rem 1rem .35rem 0; vertical-align: top; border-bottom: 1px solid var(--rule); }
.scores td, .scores th { min-width: 6rem; }
.scores th[scope=row] { min-width: 9rem; }
.scores th[scope=col] { white-space: nowrap; }
.wide + p { margin-top: .5rem; }
.scores i { display: block; height: 3px; min-width: 1px; margin: .2rem 0; background: var(--soft); }
.scores .generated { font-weight: 600; }
.scores .generated th { font-weight: 600; }
.scores .generated i { background: var(--line-1); }
details { margin-top: 1rem; }
summary { cursor: pointer; margin-bottom: .75rem; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 2rem 2.5rem; }
.panels figure { display: flex; flex-direction: column; justify-content: space-between; }
.panels h3 { color: var(--ink); }
.panels svg { width: 100%; height: auto; margin-top: .5rem; }
.panels text { font-family: inherit !important; }
.key { margin-right: 1rem; white-space: nowrap; }
.key::before {
  content: ""; display: inline-block; width: 1.1em; height: 3px; margin-right: .4em; vertical-align: middle;
  background: currentColor;
}
.line-0 { color: var(--line-0); }
.line-1 { color: var(--line-1); }
.line-2 { color: var(--line-2); }
.line-3 { color: var(--line-3); }
.strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: 1.25rem 1rem; }
.strip img { width: 100%; border: 1px solid var(--rule); }
.facts { margin: .25rem 0 1.75rem; font-size: .875rem; }
.facts th { width: 11rem; color: var(--soft); }
.facts td:nth-child(3) { width: 55%; padding-right: 0; color: var(--soft); }
.facts td:empty { display: none; }
pre {
  margin: .35rem 0 1.25rem; padding: .7rem .9rem; overflow-x: auto;
  background: var(--mat); border: 1px solid var(--rule); border-radius: 4px;
}
code { font: .875rem/1.5 ui-monospace, Menlo, Consolas, monospace; }
@media (max-width: 40rem) {
  .facts tr { display: grid; grid-template-columns: 2fr 3fr; border-bottom: 1px solid var(--rule); padding: .4rem 0; }
  .facts td, .facts th { width: auto !important; padding: 0 .5rem 0 0; border: 0; }
  .facts td:nth-child(3) { grid-column: 1 / -1; }
}
@media print { body { max-width: none; padding: 0; } }
"""
)


def page(title: str, body: str, style: str = "") -> str:
    """Return a page with this title, a text, and this body, in HTML. No character acts on a reader's screen."""
    lines = "\n".join(map(printable, body.split("\n")))
    return HTML.format(title=escape(printable(title)), style=CSS + style, body=lines)


def data_uri(image: bytes, kind: str) -> str:
    """Return an image file of the format `kind` ("png", "webp") as a data URI for `src`."""
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def command(*words: object) -> str:
    """Return a pinxit command as text that a person can paste into a shell."""
    return shlex.join(["pinxit", *map(str, words)])
