"""Pieces of event streams, for whoever reads them."""

# What no stream of answers is made of, but what may come all the same.
ODD_PIECES = (
    b"\n",
    b"\n\n",
    b"\r",
    b"data: ",
    b"data: \n\n",
    b"data: {}\n\n",
    b": hello\n\n",
)
