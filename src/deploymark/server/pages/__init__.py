"""The web page's side of the server: what each of its pages shows, as one document.

A page is the same for a browser and for a program: HTML that carries the document, or the
document alone. Here documents are put together from what the views answer; nothing is decided, and
nothing is drawn. The page itself is built from `web/`.
"""
