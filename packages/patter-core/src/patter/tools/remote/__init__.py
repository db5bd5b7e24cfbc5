"""Tools that other programs carry out over a websocket: the words of the wire, who offers what, and a client."""
