"""HTTP clients side by side: each a program of its own, asking one server that never changes."""
