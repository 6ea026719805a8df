"""Data as it arrives from the network: documents read safely."""
