"""The socket of a running pool: requests and answers, its server and its client."""
