"""What editors ask of a text, answered as plain data; server.py speaks the language server protocol with them.

Everything but server.py needs lark alone, so that a page in a browser can give the same answers. Places are spans of
characters; columns.py counts them in UTF-16 as editors do.
"""
