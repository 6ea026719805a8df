"""What a client user holds: ``open(url)``, sessions, and what a request and its answer are made of."""
