"""HTTP: what the program serves, and nothing of what it means.

Routes, limits and media types live here; the thinking is done in the rooms below. Needs the extra
`server` (Starlette, uvicorn), except `cosigner`, which does not know HTTP.
"""
