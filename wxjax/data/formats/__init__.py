"""One module a container: `header(data)`, `decode(data)` and `encode(data, ...)` on bytes.

`encode` starts from the source file's bytes and replaces nothing but the pixels, so that
profiles, tags and resolutions stay as they were, known to this program or not.
"""
