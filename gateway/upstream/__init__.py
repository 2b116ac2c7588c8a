"""The lean HTTP/1.1 client on the hot path, and the offline simulator behind the same port."""
