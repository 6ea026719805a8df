"""Who is measured: how each is started, and what it must answer."""
