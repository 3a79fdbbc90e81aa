"""The HTML of every page: links to the built files, and the boot data as JSON. Pure.

One shell for all pages. The boot data is inert: a data block is never executed, and nothing in it
can end it, because every `<`, `>`, `&` and both line separators of Unicode are escaped in the JSON.
Whoever marks a deployment may write `</script>` into its reason; it comes out as text.
"""

from html import escape
from typing import Final

import msgspec

from deploymark.server.answer import Answer, Headers, packed
from deploymark.server.built import Manifest
from deploymark.server.pages.shapes_boot import Boot

HTML: Final = "text/html; charset=utf-8"
CSP: Final = (
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
    "object-src 'none'"
)

ICON: Final = "/favicon.svg"

_ENCODER: Final = msgspec.json.Encoder()
_ESCAPES: Final = tuple(
    (character.encode(), b"\\u%04x" % ord(character))
    for character in ("<", ">", "&", "\u2028", "\u2029")
)

_BASE: Final[Headers] = (
    (b"content-type", HTML.encode("ascii")),
    (b"cache-control", b"no-store"),
    (b"vary", b"accept, accept-encoding, cookie"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", CSP.encode("ascii")),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_NOT_BUILT: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>deploymark</title></head><body>
<h1>deploymark</h1>
<p>This server was installed without its page. In a checkout, <code>make web</code> builds it; a
released package carries it.</p>
<p>Each address answers its document as JSON: <code>curl -H 'Accept: application/json' -H
'Authorization: Bearer …' …/oncall</code>.</p>
</body></html>
"""


def boot_json(boot: Boot) -> bytes:
    """Return the boot data as JSON that can stand in a script element."""
    text = _ENCODER.encode(boot)
    for character, escaped in _ESCAPES:
        text = text.replace(character, escaped)
    return text


def shell(boot: Boot, manifest: Manifest | None) -> bytes:
    """Return the HTML of a page.

    Args:
        boot: What it carries.
        manifest: Of the built files; None without any.
    """
    if manifest is None:
        return _NOT_BUILT.encode()
    page = manifest.pages.get("" if boot.page is None else boot.page.value)
    styles = [*manifest.styles, *(page.styles if page else ())]
    scripts = [*manifest.scripts[1:], *(page.scripts if page else ())]
    base = escape(manifest.base)
    lines = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="dark light">',
        '<meta name="robots" content="noindex">',
        "<title>deploymark</title>",
        f'<link rel="icon" href="{ICON}" type="image/svg+xml">',
        *(f'<link rel="stylesheet" href="{base}{escape(name)}">' for name in styles),
        *(f'<link rel="modulepreload" href="{base}{escape(name)}">' for name in scripts),
        *(
            f'<script type="module" src="{base}{escape(name)}"></script>'
            for name in manifest.scripts[:1]
        ),
        '</head><body><div id="page"></div>',
        "<noscript><p>This page needs JavaScript; every address also answers JSON.</p></noscript>",
        '<script type="application/json" id="boot">',
    ]
    head = "\n".join(lines).encode()
    return b"".join((head, boot_json(boot), b"</script></body></html>\n"))


def html_answer(body: bytes, status: int, more: Headers, *, gzips: bool) -> Answer:
    """Return HTML as an answer, compressed for whoever takes that.

    Secrets of the session stand beside what others wrote, which a length could give away (BREACH)
    if an attacker could make the browser ask for this again and again and see how long answers are;
    the cookie is SameSite=Strict, so no stranger's page can.
    """
    answer = Answer(status, body, (*_BASE, *more))
    return packed(answer) if gzips else answer
