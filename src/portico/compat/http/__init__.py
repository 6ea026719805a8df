"""``http.server`` on Portico's engines."""
