"""Character encodings: their names on the web, and what a text is written in."""
